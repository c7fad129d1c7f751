"""The model that proposes instructions: its prompt, its server, and how its answer becomes an instruction."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Protocol

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case, Message
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import ChatRequest
from agentbench.core.trace import answer_in
from agentbench.run.model_server import opened_model
from agentbench.suite.config import Component
from tuners.space.configuration import RUNS_ELSEWHERE, Configuration, needs_server
from tuners.space.instructions import ProposingModel

LONGEST = 500
"""Most characters of a question, an answer or a reason in the prompt."""

TASK = (
    "You write the instruction that an AI agent follows. You are shown its instruction and tasks that it failed with"
    " it: what it was asked, what it answered, and why that was wrong. Find what the failures have in common, and write"
    " an instruction that avoids them and holds for all tasks of this kind: name no task, and give no answer away."
    " Reply with the new instruction only, in at most five sentences."
)
NONE = "(none)"
TOOLS = "{tools}"
"""The placeholder of the tools' descriptions in an agent's system prompt."""


def proposal_messages(current: str | None, failing: Sequence[tuple[Case, Attempt]]) -> tuple[Message, ...]:
    """The messages that ask for a better instruction than `current`, with the cases that it failed."""
    failures = "\n\n".join(_failure(number, case, attempt) for number, (case, attempt) in enumerate(failing, 1))
    mark = f"\nKeep the mark {TOOLS} in it: the tools' descriptions are put there." if TOOLS in (current or "") else ""
    prompt = f"The agent's instruction:\n{current or NONE}\n\n{failures}\n\nThe new instruction:{mark}"
    return ({"role": "system", "content": TASK}, {"role": "user", "content": prompt})


def _failure(number: int, case: Case, attempt: Attempt) -> str:
    reasons = "; ".join(score.reason for score in attempt.scores if score.passed is False and score.reason)
    parts = [f"Failed task {number}", f"Asked: {_short(_question(case))}"]
    if case.tools:
        parts.append(f"Tools: {_short(', '.join(tool.name for tool in case.tools))}")
    wrong = _short(reasons or "it is not the right answer")
    parts += [f"Answered: {_short(_answer(attempt))}", f"Wrong because: {wrong}"]
    return "\n".join(parts)


def _question(case: Case) -> str:
    contents = (message.get("content") for message in case.messages if message.get("role") == "user")
    return "\n".join(text for text in contents if isinstance(text, str))


def _answer(attempt: Attempt) -> str:
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in attempt.trace.tool_calls]
    calls_json = json.dumps(calls, ensure_ascii=False, default=str) if calls else ""
    return " ".join(part for part in (calls_json, attempt.trace.answer) if part) or "(nothing)"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


class Host(Protocol):
    """Runs the candidates' servers."""

    async def ask(self, configuration: Configuration, request: ChatRequest) -> str:
        """The answer of the configuration's model to a request outside any attempt."""
        ...

    async def rest(self) -> None:
        """Stops the running server; the next request starts one."""
        ...


class NoAnswer(Exception):
    """The model did not answer."""


async def write(options: ProposingModel, host: Host, parent: Configuration, request: ChatRequest) -> str:
    """The text that the proposing model writes: the model that `options` name, or else the model of `parent`.

    A named model's server runs for this answer only. If it runs on this machine, the candidates' server is stopped
    first, since there may not be memory for both. Raises `NoAnswer` when the model does not answer in time, `UserError`
    when its server does not start.
    """
    try:
        async with asyncio.timeout(options.timeout_s):
            if not options.is_named:
                return await host.ask(parent, request)
    except (AttemptError, TimeoutError) as error:
        raise NoAnswer(str(error) or f"no answer in {options.timeout_s:g} s") from error
    if _runs_here(options):
        await host.rest()
    async with opened_model(options.serving, options.backend, "proposer") as backend:
        try:
            async with asyncio.timeout(options.timeout_s):
                return (await backend.chat(request)).text
        except (AttemptError, TimeoutError) as error:
            raise NoAnswer(str(error) or f"no answer in {options.timeout_s:g} s") from error


def _runs_here(options: ProposingModel) -> bool:
    serving = options.serving or Component(name="bundled")
    return needs_server(options.backend or Component(name="openai_http")) and serving.name != RUNS_ELSEWHERE


MOST = 1200
"""Most characters of an instruction; a small model may never stop."""

CONTROL = re.compile(r"<\|[^|>\n]{1,40}\|>|[\x00-\x08\x0b-\x1f\x7f]")
FENCED = re.compile(r"```[\w-]*\n(.*?)(?:```|\Z)", re.DOTALL)
LABEL = re.compile(
    r"\A(?:(?:sure|certainly|of course|okay)[^\n:]*[!.:]\s*)?"
    r"(?:here(?:'s| is)[^\n:]*:|\**(?:the )?(?:new |improved |better |revised )?instructions?\**\s*:\**)\s*",
    re.IGNORECASE,
)
QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("«", "»"), ("`", "`"), ("**", "**"))


def clean_instruction(text: str) -> str:
    """The instruction in a model's answer; "" when there is none.

    Reasoning, control tokens, labels, code fences and quotes around it are removed, and so are repeated lines. It is
    cut to at most `MOST` characters.
    """
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
    beginning = text[:MOST]
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s)|\n", beginning)]
    return beginning[: ends[-1]].strip() if ends else beginning.rpartition(" ")[0].strip() or beginning
