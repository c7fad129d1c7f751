"""What a study may spend, and what it has spent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.duration import Seconds


class BudgetOptions(BaseModel):
    """A study stops at the first of these that is used up; at least one is set. All its workers share them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int | None = Field(None, ge=1, description="Candidates tried, repeated ones not counted.")
    case_runs: int | None = Field(None, ge=1, description="Attempts made, the verdict's not counted.")
    seconds: Seconds | None = Field(None, gt=0, description="Wall time of the search.")

    @model_validator(mode="after")
    def _has_an_end(self) -> "BudgetOptions":
        if self.trials is None and self.case_runs is None and self.seconds is None:
            raise ValueError("set at least one of trials, case_runs and seconds")
        return self


@dataclass(slots=True)
class Spending:
    """Of all workers: candidates begun, attempts made; and the wall time, in seconds by `clock`, of which `before`
    had passed when this worker joined."""

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
        """Whether no other candidate may begin."""
        return self.exhausted or (self.options.trials is not None and self.trials >= self.options.trials)

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may be spent, on the candidates at hand either."""
        most = self.options
        return (most.case_runs is not None and self.case_runs >= most.case_runs) or (
            most.seconds is not None and self.seconds >= most.seconds
        )
