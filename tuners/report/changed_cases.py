"""The cases whose verdict changed from one run to another, with what was said in both."""

from dataclasses import dataclass

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.trace import ToolCall
from agentbench.stats.outcomes import AGENT_FAILURES
from agentbench.store import Store

SHOWN = 25
"""Cases told in full, each way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What an attempt came to: what was said, and each score with its reason."""

    verdict: str
    said: tuple[str, ...]
    scores: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A case that one run had right and the other wrong."""

    case_id: str
    question: str
    winner: Side
    baseline: Side


def changed_cases(store: Store, winner: str, baseline: str) -> tuple[list[Changed], list[Changed]]:
    """What the winner gained, and what it lost, by id; a case's first repeat stands for it."""
    a, b = _first(store, winner), _first(store, baseline)
    gained: list[Changed] = []
    lost: list[Changed] = []
    for case_id in sorted(a.keys() & b.keys()):
        (of_winner, case), (of_baseline, _) = a[case_id], b[case_id]
        if _left_out(of_winner) or _left_out(of_baseline):
            continue
        right, was_right = of_winner.passed is True, of_baseline.passed is True
        if right != was_right:
            found = Changed(
                case_id=case_id, question=_asked(case), winner=_side(of_winner), baseline=_side(of_baseline)
            )
            (gained if right else lost).append(found)
    return gained, lost


def _left_out(attempt: Attempt) -> bool:
    """Whether nothing can be said of it: the server, a tool or a scorer failed."""
    return attempt.failure is not None and attempt.failure.kind not in AGENT_FAILURES


def _first(store: Store, run_id: str) -> dict[str, tuple[Attempt, Case]]:
    return {attempt.case_id: (attempt, case) for attempt, case in store.whole_attempts(run_id) if attempt.repeat == 0}


def _asked(case: Case) -> str:
    return "\n".join(str(message.get("content") or "") for message in case.messages)


def _side(attempt: Attempt) -> Side:
    said = tuple(filter(None, (call.text for call in attempt.trace.model_calls)))
    tools = tuple(_called(step) for step in attempt.trace.steps if isinstance(step, ToolCall))
    failed = (f"{attempt.failure.kind}: {attempt.failure.message}",) if attempt.failure else ()
    return Side(
        verdict="failed" if attempt.failure else "right" if attempt.passed else "wrong",
        said=(*said, *tools, *failed),
        scores=tuple(f"{score.name} {score.value:g}: {score.reason}" for score in attempt.scores),
    )


def _called(call: ToolCall) -> str:
    arguments = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    result = f" → {call.result}" if call.result is not None else f" → error: {call.error}" if call.error else ""
    return f"{call.name}({arguments}){result}"
