"""A candidate that has been through a study."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tuners.search.evaluator import Figures
from tuners.space.space import Settings

End = Literal["finished", "dropped", "broken", "forbidden", "out of budget", "unfinished"]
BASELINE = 0
"""The number of the candidate that changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a trial tried and how far it came.

    `settings` is what it changes of the baseline (quality-affecting and lossless together); `scores` has the cases
    it answered. `rung` is the last it stood on, -1 for none. `quality` is the mean over all of train, or the
    projection of it for one that was dropped before. `by_rung` has the figures of each rung's cases, `figures` those
    of its last rung or of a replay. `excess` has, for each constraint, how far beyond its bound the figure is (a share
    of the bound; 0 or less is met). `case_runs` is what it cost: attempts that were made, replays included.
    `failed` counts the attempts that the server, a tool or a scorer failed: they count as not passed. `searched` says
    that its knobs were searched for, and not taken over. `reason` says why it broke, or what it can't meet.
    One that is still on its way is `unfinished`.
    """

    number: int
    settings: Settings
    end: End
    rung: int
    quality: float
    scores: Mapping[str, float] = field(repr=False)
    figures: Figures = field(default_factory=dict)
    by_rung: Sequence[Figures] = field(default=(), repr=False)
    excess: Mapping[str, float] = field(default_factory=dict)
    case_runs: int = 0
    seconds: float = 0.0
    searched: bool = False
    failed: int = 0
    reason: str = ""

    def at_rung(self, rung: int) -> Figures:
        """The figures of the cases of this rung alone; none where it did not answer them itself."""
        return self.by_rung[rung] if 0 <= rung < len(self.by_rung) else {}

    @property
    def meets(self) -> bool:
        """Whether it meets every constraint, as far as it was measured."""
        return all(excess <= 0 for excess in self.excess.values())

    @property
    def feasible(self) -> bool:
        return self.end == "finished" and self.meets

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def candidate_of_json(data: Mapping[str, Any]) -> Candidate:
    return Candidate(**data)
