"""The cases whose verdict changed from one run to another, with what was said in both."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentbench.case import Case, Message
from agentbench.score import Attempt
from agentbench.store import Store
from agentbench.trace import ToolCall

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
    gained: bool


def changed_cases(store: Store, winner: str, baseline: str, cases: dict[str, Case]) -> list[Changed]:
    """By id, those that the winner gained first; a case's first repeat stands for it."""
    a, b = _first(store, winner), _first(store, baseline)
    found = [
        Changed(
            case_id=case_id,
            question=_asked(cases.get(case_id)),
            winner=_side(a[case_id]),
            baseline=_side(b[case_id]),
            gained=a[case_id].passed is True,
        )
        for case_id in sorted(a.keys() & b.keys())
        if (a[case_id].passed is True) != (b[case_id].passed is True)
    ]
    return sorted(found, key=lambda each: not each.gained)


def _first(store: Store, run_id: str) -> dict[str, Attempt]:
    return {attempt.case_id: attempt for attempt in store.attempts(run_id) if attempt.repeat == 0}


def _asked(case: Case | None) -> str:
    return "\n".join(_content(message) for message in case.messages) if case else ""


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


def _content(message: Message) -> str:
    return str(message.get("content") or "")


def parted(changed: Sequence[Changed]) -> tuple[list[Changed], list[Changed]]:
    """What the winner gained, and what it lost."""
    return [each for each in changed if each.gained], [each for each in changed if not each.gained]
