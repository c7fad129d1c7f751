"""The evaluator protocol: a search's requests about candidates, and their answers."""

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
    """A candidate's results on some cases.

    `scores` is the mean over repeats of each graded case. `attempts` is their number. `failed` is how many the server,
    a tool or a scorer failed twice: they count as not passed, and `failure` is the first one's message. `fresh` is how
    many attempts were run; the others were cached. `figures` are the server's figures on these cases, from attempts
    under exactly these settings. `at_best` has optimistic bounds for figures that may improve with more attempts, from
    one-sided 95 % intervals. `complete` is False when the allowance ended before the last case.
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
    """A replay of recorded traces under other lossless knobs; `replayed` is the number of replayed attempts."""

    figures: Figures
    replayed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The remaining budget: attempts, and seconds of wall time; None means unlimited."""

    case_runs: int | None = None
    seconds: float | None = None


UNBOUNDED = Allowance()


def too_many(failed: int, attempts: int, share: float) -> bool:
    """Whether the share of failures is above the allowed one. A single failure is accepted, unless none is allowed."""
    return failed > max(share * attempts, 1.0 if share else 0.0)


class OutOfBudget(Exception):
    """The allowance ended a measurement, which has no result."""


class Broken(Exception):
    """The server crashed, ran out of memory or did not start under these settings: a violated constraint, without a
    score.

    `fresh` is the number of attempts run before.
    """

    def __init__(self, reason: str, fresh: int = 0) -> None:
        super().__init__(reason)
        self.fresh = fresh


class Evaluator(Protocol):
    """Answers cases and measures servers.

    Both raise `Broken` when the server fails or the settings do not fit the suite. Both end with their allowance, which
    cancels attempts and server starts in progress.
    """

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        """The configuration for a candidate with these settings, with the study's seed or another one. It is built
        once.
        """
        ...

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        """The answered cases; a cached answer with the same seed costs nothing."""
        ...

    async def measure(
        self, configuration: Configuration, lossless: Settings, allowance: Allowance = UNBOUNDED
    ) -> Measured:
        """Replays the traces recorded under the configuration on its server with the `lossless` knobs, and returns the
        figures. Raises `OutOfBudget` when the allowance does not suffice.
        """
        ...

    def attempts_run(self, configuration: Configuration, cases: Sequence[str]) -> int:
        """How many attempts at these cases were run under exactly this configuration, by any process."""
        ...

    def spent(self) -> int:
        """Attempts run by the search so far, by all workers and over all starts, replays included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A constraint on a metric: its figure must not exceed the bound (for rates, not fall below it)."""

    metric: str
    bound: float
    at_least: bool = False

    def excess(self, figures: Figures) -> float:
        """How far the figure exceeds the bound, as a share of the bound; 0 or less when it is met.

        A missing figure counts as twice the bound.
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
    """Whether the figure is better than the other; False when one of them is unknown."""
    if metric not in figures or metric not in others:
        return False
    mine, other = figures[metric], others[metric]
    return mine > other * (1 + BETTER) if metric in RATES else mine < other * (1 - BETTER)


def limits_of(constraints: Mapping[str, float]) -> tuple[Limit, ...]:
    """The limits of a study's `constraints`; `UserError` for an invalid bound."""
    for metric, bound in constraints.items():
        if not (math.isfinite(bound) and bound > 0):
            raise UserError(f"constraints.{metric} = {bound}: expected a number above 0")
        if metric == "quality" and bound > 1:
            raise UserError(f"constraints.quality = {bound:g}: expected a share of right answers, for example 0.4")
    return tuple(Limit(metric=metric, bound=bound, at_least=metric in RATES) for metric, bound in constraints.items())
