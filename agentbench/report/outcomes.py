"""How each case of a run came out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from agentbench.score import Attempt
from agentbench.stats.outcomes import Outcome

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


def case_outcomes(outcomes: Iterable[Outcome]) -> tuple[CaseOutcome, ...]:
    """The cases in the order of their ids."""
    counts: dict[str, list[int]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.case_id, [0, 0, 0, 0])[COUNTED.index(verdict_of(outcome))] += 1
    return tuple(
        CaseOutcome(
            case_id=case_id,
            outcome=_outcome(right, wrong, waiting),
            right=right,
            wrong=wrong,
            failed=failed,
            waiting=waiting,
        )
        for case_id, (right, wrong, failed, waiting) in sorted(counts.items())
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
