"""A candidate that has ended, and the Pareto front of several."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from agentbench.stats.pareto import dominates, pareto_front
from tuners.search.evaluator import RATES, Figures
from tuners.space.space import Settings

End = Literal["finished", "dropped", "broken", "forbidden", "out of budget", "unfinished"]
BASELINE = 0
"""The number of the candidate that changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A trial's settings and results.

    `settings` are its changes to the baseline (quality-affecting and lossless together); `scores` has the cases it
    answered. `rung` is the last one it completed, -1 for none. `quality` is the mean over all of train, or its
    projection for a candidate that was dropped earlier. `by_rung` has the figures of each rung's cases, `figures` those
    of its last rung or of a replay. `excess` has, for each constraint, how far its figure exceeds the bound (a share of
    the bound; 0 or less is met). `case_runs` is its cost in attempts, replays included. `failed` counts attempts that
    the server, a tool or a scorer failed: they count as not passed. `searched` means that its knobs were searched, not
    taken from another candidate. `reason` is why it broke, or which constraint it can't meet. A candidate in progress
    is `unfinished`.
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
        """The figures of this rung's cases alone; empty when it did not answer them itself."""
        return self.by_rung[rung] if 0 <= rung < len(self.by_rung) else {}

    @property
    def meets(self) -> bool:
        """Whether it meets every constraint that was measured."""
        return all(excess <= 0 for excess in self.excess.values())

    @property
    def feasible(self) -> bool:
        return self.end == "finished" and self.meets

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def candidate_of_json(data: Mapping[str, Any]) -> Candidate:
    return Candidate(**data)


def rank(candidate: Candidate) -> tuple[float, float]:
    """The sort key: quality, then goodput."""
    return candidate.quality, candidate.figures.get("goodput", 0.0)


def front(candidates: Sequence[Candidate], objectives: Sequence[str]) -> list[Candidate]:
    """The Pareto front of the feasible candidates that have every objective's figure, best quality first."""
    points = {each.number: _point(each, objectives) for each in candidates if each.feasible}
    numbers = set(pareto_front({number: point for number, point in points.items() if point is not None}))
    members = [each for each in candidates if each.number in numbers]
    return sorted(members, key=lambda each: -each.quality)


def front_so_far(candidates: Sequence[Candidate], objectives: Sequence[str]) -> list[Candidate]:
    """The front of an unfinished study: candidates that completed all rungs, are in progress, or were ended by the
    budget.

    Two candidates are compared on their common cases, and by their figures on the last rung that both completed.
    """
    standing = [each for each in candidates if each.end in ("finished", "out of budget", "unfinished") and each.meets]
    measured = [each for each in standing if each.scores and _point(each, objectives) is not None]
    members = [each for each in measured if not any(_dominates_so_far(other, each, objectives) for other in measured)]
    return sorted(members, key=lambda each: -each.quality)


def _dominates_so_far(a: Candidate, b: Candidate, objectives: Sequence[str]) -> bool:
    shared = a.scores.keys() & b.scores.keys()
    if not shared or a.number == b.number:
        return False
    points = [_values(_on(each, shared, min(a.rung, b.rung)), objectives) for each in (a, b)]
    return points[0] is not None and points[1] is not None and dominates(points[0], points[1])


def _on(candidate: Candidate, cases: Set[str], rung: int) -> dict[str, float]:
    """Its quality on these cases, and its figures on the rung; when it did not answer that rung itself, those of its
    last one.
    """
    quality = float(np.mean([candidate.scores[case] for case in cases]))
    figures = candidate.figures if rung == candidate.rung else candidate.at_rung(rung) or candidate.figures
    return {**figures, "quality": quality}


def _point(candidate: Candidate, objectives: Sequence[str]) -> tuple[float, ...] | None:
    return _values({**candidate.figures, "quality": candidate.quality}, objectives)


def _values(figures: Mapping[str, float], objectives: Sequence[str]) -> tuple[float, ...] | None:
    """The objectives, scaled so that more is better; None when one is unknown."""
    if any(name not in figures for name in objectives):
        return None
    return tuple(figures[name] if name in RATES else -figures[name] for name in objectives)
