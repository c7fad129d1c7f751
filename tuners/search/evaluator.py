"""The evaluator of a search: its questions about candidates, and the answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agentbench.core.errors import UserError
from tuners.space.configuration import Configuration
from tuners.space.space import Settings

Figures = Mapping[str, float]
"""Serving metric (`ttft_p95`, `tpot_p50`, `goodput` …) to its value, in seconds and per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a candidate made of some cases.

    `scores` is the mean over repeats of each case that was graded. `attempts` is how many there are, `failed` how many
    of them the server, a tool or a scorer failed, twice: they count as not passed, and `failure` says what the first
    of them failed of. `fresh` is how many attempts had to be made: the rest were in the cache. `figures` is what they
    say of the server, over all the candidate's attempts under these settings so far. `at_best` has those that may be
    better once there are more attempts: the nearest to good that they are by one-sided intervals of 95 %. `complete`
    is False where the allowance ended it before the last case.
    """

    scores: Mapping[str, float]
    fresh: int
    figures: Figures = field(default_factory=dict)
    at_best: Figures = field(default_factory=dict)
    complete: bool = True
    attempts: int = 0
    failed: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A replay of recorded traces under other lossless knobs; `replayed` is how many attempts it sent again."""

    figures: Figures
    replayed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What may still be spent: attempts, and seconds of wall time; None is without an end."""

    case_runs: int | None = None
    seconds: float | None = None


UNBOUNDED = Allowance()


def too_many(failed: int, attempts: int, share: float) -> bool:
    """Whether so many failures are above the share of attempts that may fail; one alone is not, unless none may."""
    return failed > max(share * attempts, 1.0 if share else 0.0)


class OutOfBudget(Exception):
    """The allowance ended a measurement: nothing is known of it."""


class Broken(Exception):
    """The server of these settings crashed, ran out of memory or did not start: a violated constraint, no score.

    `fresh` is how many attempts were made before.
    """

    def __init__(self, reason: str, fresh: int = 0) -> None:
        super().__init__(reason)
        self.fresh = fresh


class Evaluator(Protocol):
    """Answers cases and measures servers. Both raise `Broken` where a server does not hold up, or where the settings
    do not fit the suite, and both end with their allowance: attempts and starts of servers that are in flight are ended
    too."""

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        """What a candidate of these settings is run with, by the study's seed or another one. It is made once."""
        ...

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        """The cases answered; a case answered before with the same seed costs nothing."""
        ...

    async def measure(
        self, configuration: Configuration, lossless: Settings, allowance: Allowance = UNBOUNDED
    ) -> Measured:
        """What the traces recorded under the configuration take when its server runs with the `lossless` knobs. Raises
        `OutOfBudget` where the allowance does not suffice."""
        ...

    def made(self, configuration: Configuration, cases: Sequence[str]) -> int:
        """How many attempts at these cases were made under this very configuration, by whichever process."""
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
    """The limits of a study's `constraints`; `UserError` for a bound that means nothing."""
    for metric, bound in constraints.items():
        if not (math.isfinite(bound) and bound > 0):
            raise UserError(f"constraints.{metric} = {bound}: expected a number above 0")
        if metric == "quality" and bound > 1:
            raise UserError(f"constraints.quality = {bound:g}: expected a share of right answers, for example 0.4")
    return tuple(Limit(metric=metric, bound=bound, at_least=metric in RATES) for metric, bound in constraints.items())
