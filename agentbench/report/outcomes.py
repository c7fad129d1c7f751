"""How each case of a run came out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from agentbench.score import Attempt

Outcome = Literal["right", "wrong", "mixed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOutcome:
    """A case's attempts counted. `mixed`: right in some repeats, wrong in others; `failed`: never graded."""

    case_id: str
    outcome: Outcome
    right: int
    wrong: int
    failed: int


def case_outcomes(attempts: Iterable[Attempt]) -> tuple[CaseOutcome, ...]:
    """The cases in the order of their ids."""
    counts: dict[str, list[int]] = {}
    for attempt in attempts:
        counts.setdefault(attempt.case_id, [0, 0, 0])[_index(attempt)] += 1
    return tuple(
        CaseOutcome(case_id=case_id, outcome=_outcome(right, wrong), right=right, wrong=wrong, failed=failed)
        for case_id, (right, wrong, failed) in sorted(counts.items())
    )


def _index(attempt: Attempt) -> int:
    if attempt.failure:
        return 2
    return 0 if attempt.passed else 1


def _outcome(right: int, wrong: int) -> Outcome:
    if right and wrong:
        return "mixed"
    return "right" if right else "wrong" if wrong else "failed"
