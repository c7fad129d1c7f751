"""A candidate on its way through a study."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tuners.evaluator import Figures
from tuners.space import Settings

End = Literal["finished", "dropped", "infeasible", "broken", "forbidden", "repeated", "out of budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a trial tried and how far it came.

    `settings` is what it changes of the baseline (quality-affecting and lossless together); `scores` has the cases
    it answered. `rung` is the last it stood on. `quality` is the mean over all of train, or the projection of it
    for one that was dropped before. `excess` has, for each constraint, how far beyond its bound the figure is (a
    share of the bound; 0 or less is met). `case_runs` is what it cost: attempts that were made, replays included.
    """

    number: int
    settings: Settings
    end: End
    rung: int
    quality: float
    scores: Mapping[str, float] = field(repr=False)
    figures: Figures = field(default_factory=dict)
    excess: Mapping[str, float] = field(default_factory=dict)
    case_runs: int = 0

    @property
    def feasible(self) -> bool:
        return self.end == "finished" and all(excess <= 0 for excess in self.excess.values())
