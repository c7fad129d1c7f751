"""What a proposing model is shown: the instruction there is, and cases that it failed."""

import json
from collections.abc import Sequence

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case, Message

LONGEST = 500
"""Characters of a question, an answer or a reason that are shown."""

TASK = (
    "You write the instruction that an AI agent follows. You are shown its instruction and tasks that it failed with"
    " it: what it was asked, what it answered, and why that was wrong. Find what the failures have in common, and write"
    " an instruction that avoids them and holds for all tasks of this kind: name no task, and give no answer away."
    " Reply with the new instruction only, in at most five sentences."
)
NONE = "(none)"
TOOLS = "{tools}"
"""What stands for the tools' descriptions in an agent's system prompt."""


def proposal_messages(current: str | None, failing: Sequence[tuple[Case, Attempt]]) -> tuple[Message, ...]:
    """The request for a better instruction than `current`."""
    shown = "\n\n".join(_failure(number, case, attempt) for number, (case, attempt) in enumerate(failing, 1))
    kept = f"\nKeep the mark {TOOLS} in it: the tools' descriptions are put there." if TOOLS in (current or "") else ""
    said = f"The agent's instruction:\n{current or NONE}\n\n{shown}\n\nThe new instruction:{kept}"
    return ({"role": "system", "content": TASK}, {"role": "user", "content": said})


def _failure(number: int, case: Case, attempt: Attempt) -> str:
    reasons = "; ".join(score.reason for score in attempt.scores if score.passed is False and score.reason)
    parts = [f"Failed task {number}", f"Asked: {_short(_asked(case))}"]
    if case.tools:
        parts.append(f"Tools: {_short(', '.join(tool.name for tool in case.tools))}")
    wrong = _short(reasons or "it is not the right answer")
    parts += [f"Answered: {_short(_answered(attempt))}", f"Wrong because: {wrong}"]
    return "\n".join(parts)


def _asked(case: Case) -> str:
    said = (message.get("content") for message in case.messages if message.get("role") == "user")
    return "\n".join(text for text in said if isinstance(text, str))


def _answered(attempt: Attempt) -> str:
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in attempt.trace.tool_calls]
    told = json.dumps(calls, ensure_ascii=False, default=str) if calls else ""
    return " ".join(part for part in (told, attempt.trace.answer) if part) or "(nothing)"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
