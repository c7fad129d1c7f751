"""A trace: what an agent did, in order, with raw timestamps.

Every `*_at` is a reading of `time.perf_counter_ns` in the process that ran the attempt. A trace stores the full
text of an answer. Everything that grades, shows or continues an answer uses the text without thoughts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentbench.core.case import Message
from agentbench.core.errors import FailureKind

STEP = "agentbench_step"
"""Key in a model call's `request`: the agent's step (`plan`, `retry`) whose own model answered in place of the run's
model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One request to a model and its answer.

    `request` is the request body without its messages (model, sampling, tools, response_format), and `STEP`. `chunk_at`
    has the time of each chunk that brought tokens; all events of one read are one chunk, and an event with only a role
    is none. The first `silent_chunks` are invisible to a reader, since their text was held back. `chunk_tokens` has the
    completion tokens of each chunk; it is empty when the server counted only at the end. When the server counted
    nothing, each event with content counts as one token. The other counts are the server's own, None when it reported
    none.
    """

    messages: tuple[Message, ...]
    request: Mapping[str, Any]
    reply: Message
    finish_reason: str | None
    intended_at: int
    sent_at: int
    ended_at: int
    chunk_at: tuple[int, ...] = ()
    chunk_tokens: tuple[int, ...] = ()
    silent_chunks: int = 0
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None

    @property
    def text(self) -> str:
        """The text of the reply; empty when it consists of tool calls only."""
        return self.reply.get("content") or ""

    @property
    def answer(self) -> str:
        """The text without its leading thoughts."""
        return answer_in(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool by the agent.

    `arguments` are the parsed arguments. When the model wrote no valid JSON object, they are empty and `error` says so.
    `executed` is False for a tool that is only declared (a case's tool), whose calls have no result.
    """

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    started_at: int
    ended_at: int
    executed: bool
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTurn:
    """The simulated user's messages after an answer of the agent; the case's own messages are no user turn.

    `state` is the tools' state at this turn, as the earlier steps left it. The time from `started_at` to `ended_at` is
    the user's, not the agent's.
    """

    messages: tuple[Message, ...]
    state: Any = None
    started_at: int
    ended_at: int


Step = ModelCall | ToolCall | UserTurn


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The steps of one attempt in the order they began, and the agent's final text with its thoughts.

    `state` is the tools' state at the end (a JSON value), None when no tool is stateful. `cold_start_ns` is the agent's
    startup time when it was started for this attempt.
    """

    steps: tuple[Step, ...] = ()
    output: str = ""
    state: Any = None
    cold_start_ns: int | None = None

    @property
    def answer(self) -> str:
        """The agent's answer for grading and display: `output` without its leading thoughts."""
        return answer_in(self.output)

    @property
    def model_calls(self) -> tuple[ModelCall, ...]:
        return tuple(step for step in self.steps if isinstance(step, ModelCall))

    @property
    def served_calls(self) -> tuple[ModelCall, ...]:
        """The model calls to the run's own server, without those of a step with its own model."""
        return tuple(call for call in self.model_calls if STEP not in call.request)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(step for step in self.steps if isinstance(step, ToolCall))

    @property
    def turns(self) -> tuple[tuple[Step, ...], ...]:
        """The steps between the user's turns: one tuple for each turn of the agent."""
        turns: list[list[Step]] = [[]]
        for step in self.steps:
            if isinstance(step, UserTurn):
                turns.append([])
            else:
                turns[-1].append(step)
        return tuple(map(tuple, turns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt has no result to score. It is never scored as 0.

    infra: the server or the network; timeout: the attempt's limit; agent: the agent's code raised; tool: a tool broke
    the attempt; grader: a scorer raised; budget: a limit on turns, tokens or calls was exceeded.
    """

    kind: FailureKind
    message: str
    detail: str = field(default="", repr=False)


TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]"))

OPENING = re.compile("|".join(re.escape(begin) for begin, _ in TAGS), re.IGNORECASE)
CLOSING = re.compile("|".join(re.escape(end) for _, end in TAGS), re.IGNORECASE)


def answer_in(text: str) -> str:
    """The text after its leading thoughts; the whole text when it has none.

    Thoughts stand between tags at the start of the text; several blocks may follow each other. When only a closing tag
    is there, the chat template opened the block, and all text before the tag is thought. Unclosed thoughts have no
    answer. Later tags are part of the answer.
    """
    rest = text
    while begun := OPENING.match(rest.lstrip()):
        rest = _behind(rest.lstrip()[begun.end() :], begun[0])
    if rest is text and (end := CLOSING.search(text)) and not OPENING.search(text, 0, end.start()):
        rest = text[end.end() :]
    return rest if rest is text else rest.lstrip()


def _behind(text: str, begun: str) -> str:
    """The text after the closing tag of the block that `begun` opened; empty when the block is unclosed."""
    end = next(end for begin, end in TAGS if begin.lower() == begun.lower())
    found = re.compile(re.escape(end), re.IGNORECASE).search(text)
    return text[found.end() :] if found else ""
