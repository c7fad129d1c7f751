"""The budget of a study, and what its workers have spent of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.core.durations import Seconds
from tuners.search.evaluator import Allowance, OutOfBudget


class BudgetOptions(BaseModel):
    """A study stops when the first of these limits is reached; at least one is set. All its workers share them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int | None = Field(None, ge=1, description="Candidates tried, repeated ones not counted.")
    case_runs: int | None = Field(None, ge=1, description="Attempts run, the verdict's not counted.")
    seconds: Seconds | None = Field(None, gt=0, description="Wall time of the search.")

    @model_validator(mode="after")
    def _has_an_end(self) -> "BudgetOptions":
        if self.trials is None and self.case_runs is None and self.seconds is None:
            raise ValueError("set at least one of trials, case_runs and seconds")
        return self


@dataclass(slots=True)
class Spending:
    """The spending of all workers: candidates begun, attempts run, and wall time in seconds by `clock`. `before` is the
    time that had passed when this worker joined.
    """

    options: BudgetOptions
    clock: Callable[[], float] = monotonic
    trials: int = 0
    case_runs: int = 0
    before: float = 0.0
    began_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.began_at = self.clock()

    @property
    def seconds(self) -> float:
        return self.before + self.clock() - self.began_at

    @property
    def over(self) -> bool:
        """Whether no further candidate may begin."""
        return self.exhausted or (self.options.trials is not None and self.trials >= self.options.trials)

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may be spent, not even on candidates in progress."""
        most = self.options
        return (most.case_runs is not None and self.case_runs >= most.case_runs) or (
            most.seconds is not None and self.seconds >= most.seconds
        )

    def allowance(self) -> Allowance:
        """The remaining budget for candidates in progress."""
        most = self.options
        return Allowance(
            case_runs=None if most.case_runs is None else max(0, most.case_runs - self.case_runs),
            seconds=None if most.seconds is None else max(0.0, most.seconds - self.seconds),
        )


@asynccontextmanager
async def within(seconds: float | None) -> AsyncIterator[None]:
    """Cancels its block after this many seconds, and then raises `OutOfBudget`."""
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            yield
    except TimeoutError:
        if timer.expired():
            raise OutOfBudget from None
        raise


def describe_budget(options: BudgetOptions, rungs: Sequence[int], repeats: int, attempts_per_s: float | None) -> str:
    """One line: how many candidates the budget allows.

    `rungs` are the cumulative numbers of cases; `attempts_per_s` is the speed of an earlier run of the suite.
    """
    first, all_of_train = rungs[0] * repeats, rungs[-1] * repeats
    parts = [f"a candidate needs {first} case-runs for the first rung and {all_of_train} for all of train"]
    if options.trials is not None:
        parts.append(f"{options.trials} candidates take at most {options.trials * all_of_train}")
    if options.case_runs is not None:
        parts.append(_enough_for(f"{options.case_runs} case-runs", options.case_runs, first, all_of_train))
    if options.seconds is not None:
        parts.append(_in_seconds(options.seconds, first, all_of_train, attempts_per_s))
    return "the budget: " + "; ".join(parts)


def _in_seconds(seconds: float, first: int, all_of_train: int, attempts_per_s: float | None) -> str:
    if attempts_per_s is None:
        return f"no run of this suite is stored, so the pace of {seconds:g} s is known after the first rung"
    ran = int(seconds * attempts_per_s)
    pace = f"at {attempts_per_s:.3g}/s (the pace of the last run, without server starts)"
    return _enough_for(f"{seconds:g} s are about {ran} case-runs {pace}; these", ran, first, all_of_train)


def _enough_for(what: str, case_runs: int, first: int, all_of_train: int) -> str:
    if case_runs < all_of_train:
        return f"{what} are too few for all of train, so no candidate can finish: raise the budget or lower split.train"
    others, complete = (case_runs - all_of_train) // first, case_runs // all_of_train
    return (
        f"{what} are enough for the baseline and the first rung of {others} others, or for all of train of {complete}"
    )
