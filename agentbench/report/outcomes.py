"""How each case of a run came out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from agentbench.stats.outcomes import Outcome

Verdict = Literal["right", "wrong", "mixed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOutcome:
    """A case's attempts counted. `mixed`: right in some repeats, wrong in others; `failed`: never graded."""

    case_id: str
    outcome: Verdict
    right: int
    wrong: int
    failed: int


def case_outcomes(outcomes: Iterable[Outcome]) -> tuple[CaseOutcome, ...]:
    """The cases in the order of their ids."""
    counts: dict[str, list[int]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.case_id, [0, 0, 0])[_index(outcome)] += 1
    return tuple(
        CaseOutcome(case_id=case_id, outcome=_outcome(right, wrong), right=right, wrong=wrong, failed=failed)
        for case_id, (right, wrong, failed) in sorted(counts.items())
    )


def _index(outcome: Outcome) -> int:
    if outcome.failure:
        return 2
    return 0 if outcome.passed else 1


def _outcome(right: int, wrong: int) -> Verdict:
    if right and wrong:
        return "mixed"
    return "right" if right else "wrong" if wrong else "failed"
