"""What a study may spend, and what it has spent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from pydantic import BaseModel, ConfigDict, Field

from agentbench.duration import Seconds


class BudgetOptions(BaseModel):
    """A study stops at the first of these that is used up; at least one is set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int | None = Field(None, ge=1, description="Candidates tried, repeated ones not counted.")
    case_runs: int | None = Field(None, ge=1, description="Attempts made, the verdict's not counted.")
    seconds: Seconds | None = Field(None, gt=0, description="Wall time of the search.")


@dataclass(slots=True)
class Spending:
    """Counts up to the limits. `clock` gives seconds."""

    options: BudgetOptions
    clock: Callable[[], float] = monotonic
    trials: int = 0
    case_runs: int = 0
    began_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.began_at = self.clock()

    @property
    def seconds(self) -> float:
        return self.clock() - self.began_at

    @property
    def over(self) -> bool:
        most = self.options
        return (
            (most.trials is not None and self.trials >= most.trials)
            or (most.case_runs is not None and self.case_runs >= most.case_runs)
            or (most.seconds is not None and self.seconds >= most.seconds)
        )

    def affords(self, case_runs: int) -> bool:
        """Whether so many more attempts stay within the limit on them."""
        return self.options.case_runs is None or self.case_runs + case_runs <= self.options.case_runs
