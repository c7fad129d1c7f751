"""The model that proposes instructions: its prompt, its server, and the instruction in its answer."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Protocol

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case, Message
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import ChatRequest
from agentbench.core.thoughts import answer_in
from agentbench.run.model_server import opened_model
from agentbench.suite.config import Component
from tuners.space.configuration import RUNS_ELSEWHERE, Configuration, needs_server
from tuners.space.instructions import ProposingModel

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


class Host(Protocol):
    """Has the servers of candidates."""

    async def ask(self, configuration: Configuration, request: ChatRequest) -> str:
        """The answer of the model of this configuration; it belongs to no attempt."""
        ...

    async def rest(self) -> None:
        """Stop the server that is kept running, until it is needed again."""
        ...


class NoAnswer(Exception):
    """The model did not answer."""


async def write(options: ProposingModel, host: Host, parent: Configuration, request: ChatRequest) -> str:
    """What the model wrote; without a model of its own it is that of `parent`. Raises `NoAnswer`.

    A model of its own is open for this one answer, and the candidates' server is stopped before where both would run
    on this machine: there may not be memory for two. `UserError` when its server does not start.
    """
    try:
        async with asyncio.timeout(options.timeout_s):
            if not options.is_named:
                return await host.ask(parent, request)
    except (AttemptError, TimeoutError) as error:
        raise NoAnswer(str(error) or f"nothing in {options.timeout_s:g} s") from error
    if _runs_here(options):
        await host.rest()
    async with opened_model(options.serving, options.backend, "proposer") as backend:
        try:
            async with asyncio.timeout(options.timeout_s):
                return (await backend.chat(request)).text
        except (AttemptError, TimeoutError) as error:
            raise NoAnswer(str(error) or f"nothing in {options.timeout_s:g} s") from error


def _runs_here(options: ProposingModel) -> bool:
    serving = options.serving or Component(name="bundled")
    return needs_server(options.backend or Component(name="openai_http")) and serving.name != RUNS_ELSEWHERE


MOST = 1200
"""Characters of an instruction; a small model may go on for ever."""

CONTROL = re.compile(r"<\|[^|>\n]{1,40}\|>|[\x00-\x08\x0b-\x1f\x7f]")
FENCED = re.compile(r"```[\w-]*\n(.*?)(?:```|\Z)", re.DOTALL)
LABEL = re.compile(
    r"\A(?:(?:sure|certainly|of course|okay)[^\n:]*[!.:]\s*)?"
    r"(?:here(?:'s| is)[^\n:]*:|\**(?:the )?(?:new |improved |better |revised )?instructions?\**\s*:\**)\s*",
    re.IGNORECASE,
)
QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("«", "»"), ("`", "`"), ("**", "**"))


def cleaned(text: str) -> str:
    """The instruction without what is put around it, each line once, at most `MOST` characters; "" for nothing."""
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    text = CONTROL.sub("", answer_in(text)).strip()
    if fenced := FENCED.search(text):
        text = fenced[1].strip()
    text = _unquoted(LABEL.sub("", text).strip())
    lines = dict.fromkeys(line.rstrip() for line in text.splitlines() if line.strip())
    text = _cut("\n".join(lines).strip())
    return text if any(character.isalpha() for character in text) else ""


def _unquoted(text: str) -> str:
    for begin, end in QUOTES:
        if len(text) > len(begin + end) and text.startswith(begin) and text.endswith(end):
            inner = text[len(begin) : -len(end)]
            return text if begin in inner or end in inner else inner.strip()
    return text


def _cut(text: str) -> str:
    """The text up to the last sentence or line that ends within `MOST` characters, or else the last word."""
    if len(text) <= MOST:
        return text
    kept = text[:MOST]
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s)|\n", kept)]
    return kept[: ends[-1]].strip() if ends else kept.rpartition(" ")[0].strip() or kept
