"""The outcome of each case of a run."""

from array import array
from dataclasses import dataclass
from typing import Literal

from agentbench.core.attempt import Attempt
from agentbench.stats.outcomes import Outcome
from agentbench.stats.samples import CaseIndex

Verdict = Literal["right", "wrong", "mixed", "failed", "waiting"]


ATTEMPT_VERDICTS: tuple[Verdict, ...] = ("right", "wrong", "failed", "waiting")
"""The verdicts of one attempt; a case can be mixed too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOutcome:
    """The attempts of a case, counted by verdict. `mixed`: right in some repeats, wrong in others. `waiting`: no
    attempt is right or wrong, at least one waits for a person's verdict. `failed`: every attempt failed."""

    case_id: str
    outcome: Verdict
    right: int
    wrong: int
    failed: int
    waiting: int

    def to_json(self) -> dict[str, str | int]:
        return {name: getattr(self, name) for name in type(self).__dataclass_fields__}


class CaseCounts:
    """Counts the attempts of each case by verdict: four numbers a case."""

    def __init__(self) -> None:
        self._counts = array("i")

    def add(self, number: int, outcome: Outcome) -> None:
        """Counts an attempt of the case with this number in the `CaseIndex`."""
        missing = (number + 1) * len(ATTEMPT_VERDICTS) - len(self._counts)
        self._counts.extend([0] * max(0, missing))
        self._counts[number * len(ATTEMPT_VERDICTS) + ATTEMPT_VERDICTS.index(verdict_of(outcome))] += 1

    def outcomes(self, index: CaseIndex) -> tuple[CaseOutcome, ...]:
        """The outcomes of all cases, sorted by case id."""
        case_ids = index.case_ids
        return tuple(self._outcome(case_ids[number], number) for number in index.by_id)

    def _outcome(self, case_id: str, number: int) -> CaseOutcome:
        start = number * len(ATTEMPT_VERDICTS)
        right, wrong, failed, waiting = self._counts[start : start + len(ATTEMPT_VERDICTS)]
        return CaseOutcome(
            case_id=case_id,
            outcome=_outcome(right, wrong, waiting),
            right=right,
            wrong=wrong,
            failed=failed,
            waiting=waiting,
        )


def verdict_of(attempt: Attempt | Outcome) -> Verdict:
    """The verdict of one attempt."""
    if attempt.failure:
        return "failed"
    return "waiting" if attempt.passed is None else "right" if attempt.passed else "wrong"


def _outcome(right: int, wrong: int, waiting: int) -> Verdict:
    if right and wrong:
        return "mixed"
    return "right" if right else "wrong" if wrong else "waiting" if waiting else "failed"
