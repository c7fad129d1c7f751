"""How each case of a run came out."""

from array import array
from dataclasses import dataclass
from typing import Literal

from agentbench.core.attempt import Attempt
from agentbench.stats.outcomes import Outcome
from agentbench.stats.samples import CaseIndex

Verdict = Literal["right", "wrong", "mixed", "failed", "waiting"]


COUNTED: tuple[Verdict, ...] = ("right", "wrong", "failed", "waiting")
"""What one attempt can be; a case can be mixed too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOutcome:
    """A case's attempts counted. `mixed`: right in some repeats, wrong in others; `failed`: never graded;
    `waiting`: no verdict yet, some of it a person's to give."""

    case_id: str
    outcome: Verdict
    right: int
    wrong: int
    failed: int
    waiting: int

    def to_json(self) -> dict[str, str | int]:
        return {name: getattr(self, name) for name in type(self).__dataclass_fields__}


class CaseCounts:
    """Counts how the attempts of each case came out, four numbers a case."""

    def __init__(self) -> None:
        self._counts = array("i")

    def add(self, number: int, outcome: Outcome) -> None:
        """An attempt of the case that an index gave this number."""
        missing = (number + 1) * len(COUNTED) - len(self._counts)
        self._counts.extend([0] * max(0, missing))
        self._counts[number * len(COUNTED) + COUNTED.index(verdict_of(outcome))] += 1

    def outcomes(self, index: CaseIndex) -> tuple[CaseOutcome, ...]:
        """The cases in the order of their ids."""
        case_ids = index.case_ids
        return tuple(self._outcome(case_ids[number], number) for number in index.by_id)

    def _outcome(self, case_id: str, number: int) -> CaseOutcome:
        right, wrong, failed, waiting = self._counts[number * len(COUNTED) : (number + 1) * len(COUNTED)]
        return CaseOutcome(
            case_id=case_id,
            outcome=_outcome(right, wrong, waiting),
            right=right,
            wrong=wrong,
            failed=failed,
            waiting=waiting,
        )


def verdict_of(attempt: Attempt | Outcome) -> Verdict:
    """How one attempt came out."""
    if attempt.failure:
        return "failed"
    return "waiting" if attempt.passed is None else "right" if attempt.passed else "wrong"


def _outcome(right: int, wrong: int, waiting: int) -> Verdict:
    if right and wrong:
        return "mixed"
    return "right" if right else "wrong" if wrong else "waiting" if waiting else "failed"
