"""An attempt with all that a page tells of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.report.attempt_json import attempt_json
from agentbench.report.conversation import Part, conversation, said
from agentbench.report.outcomes import Verdict, verdict_of
from agentbench.stats.usage import Prices


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldAttempt:
    """`document` is what `agentbench show RUN --case CASE --json` says; `asked` the first thing a user said."""

    attempt: Attempt
    case: Case
    verdict: Verdict
    asked: str
    document: Mapping[str, Any]
    parts: Sequence[Part]


def told_attempt(attempt: Attempt, case: Case, prices: Prices) -> ToldAttempt:
    return ToldAttempt(
        attempt=attempt,
        case=case,
        verdict=verdict_of(attempt),
        asked=question(case),
        document=attempt_json(case, attempt, prices),
        parts=tuple(conversation(case, attempt, prices)),
    )


def question(case: Case) -> str:
    return next((said(message) for message in case.messages if message.get("role") == "user"), "")
