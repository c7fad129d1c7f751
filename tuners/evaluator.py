"""What a search asks about candidates, and what it is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agentbench.errors import UserError
from tuners.space import Settings

Figures = Mapping[str, float]
"""Serving metric (`ttft_p95`, `tpot_p50`, `goodput` …) to its value, in seconds and per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a candidate made of some cases.

    `scores` is the mean over repeats of each case that was graded; a case whose attempts all failed counts 0 in a
    search. `fresh` is how many attempts had to be made: the rest were in the cache. `figures` is what they say of
    the server, over all the candidate's attempts under these settings so far.
    """

    scores: Mapping[str, float]
    fresh: int
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A replay of recorded traces under other lossless knobs; `replayed` is how many attempts it sent again."""

    figures: Figures
    replayed: int


class Broken(Exception):
    """The server of these settings crashed, ran out of memory or did not start: a violated constraint, no score.

    `fresh` is how many attempts were made before.
    """

    def __init__(self, reason: str, fresh: int = 0) -> None:
        super().__init__(reason)
        self.fresh = fresh


class Evaluator(Protocol):
    """Answers cases and measures servers. Both raise `Broken` where a server does not hold up."""

    async def answer(self, settings: Settings, cases: Sequence[str], seed: int) -> Answers:
        """The cases answered under the settings; a case answered before with the same seed costs nothing."""
        ...

    async def measure(self, settings: Settings, lossless: Settings) -> Measured:
        """What the traces recorded under `settings` take when the server runs with the `lossless` knobs."""
        ...

    def served(self, settings: Settings) -> str:
        """The same for settings that a running server can be kept for."""
        ...

    def spent(self) -> int:
        """Attempts made by the search so far, by all its workers and over all its starts, replays included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A constraint on a metric: its figure must be at most (at least, for rates) the bound."""

    metric: str
    bound: float
    at_least: bool = False

    def excess(self, figures: Figures) -> float:
        """How far the figure is beyond the bound, as a share of it; 0 or less when it is met.

        A figure that is missing is as bad as one that is twice the bound.
        """
        if self.metric not in figures:
            return 1.0
        share = figures[self.metric] / self.bound
        return 1 - share if self.at_least else share - 1


RATES = frozenset({"goodput", "output_tokens_per_s", "quality"})
"""Metrics of which more is better."""


BETTER = 0.05
"""A figure is better than another when it is by more than this share of it."""


def is_better(metric: str, figures: Figures, others: Figures) -> bool:
    """Whether the figure is better than the other; not where one of the two is not known."""
    if metric not in figures or metric not in others:
        return False
    mine, other = figures[metric], others[metric]
    return mine > other * (1 + BETTER) if metric in RATES else mine < other * (1 - BETTER)


def limits_of(constraints: Mapping[str, float]) -> tuple[Limit, ...]:
    """The limits of a study's `constraints`; `UserError` for a bound of 0 or less."""
    for metric, bound in constraints.items():
        if bound <= 0:
            raise UserError(f"constraints.{metric} = {bound}: expected a number above 0")
    return tuple(Limit(metric=metric, bound=bound, at_least=metric in RATES) for metric, bound in constraints.items())
