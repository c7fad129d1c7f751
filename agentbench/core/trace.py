"""A trace: what an agent did, in order, with raw timestamps.

Every `*_at` is a reading of `time.perf_counter_ns` in the process that ran the attempt.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentbench.core.case import Message
from agentbench.core.errors import FailureKind
from agentbench.core.thoughts import answer_in

STEP = "agentbench_step"
"""Key of a model call's `request`: the step of the agent whose own model answered it (`plan`, `retry`), in place of the
run's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One request to a model and its answer.

    `request` is the request body without its messages (model, sampling, tools, response_format), and `STEP`.
    `chunk_at` has the time of each chunk that brought tokens (what one read brought is one chunk; a role is no token).
    A reader sees nothing of the first `silent_chunks`: their text was held back. `chunk_tokens` has the completion
    tokens of each, and is empty when the server counted at the end only; when it counted nothing at all, each event
    with something in it stands for one token. The other counts are the server's own, None when it reported none.
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
        """The text of the reply, empty when it was tool calls only."""
        return self.reply.get("content") or ""

    @property
    def answer(self) -> str:
        """The text without the thoughts before it."""
        return answer_in(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool that the agent made.

    `arguments` are as parsed; when the model wrote no valid JSON object they are empty and `error` says so.
    `executed` is False when the tool is only declared (a case's tool): there is no result then.
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
    """What a simulated user said after an answer of the agent; the case's own messages are no user turn.

    `state` is the tools' state when the turn was taken: what the steps before it led to. From `started_at` to
    `ended_at` the user was thinking, not the agent.
    """

    messages: tuple[Message, ...]
    state: Any = None
    started_at: int
    ended_at: int


Step = ModelCall | ToolCall | UserTurn


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The steps of one attempt, in the order they began, and the text the agent ended with, its thoughts
    included.

    `state` is the tools' state at the end (a JSON value), None where no tool keeps one. `cold_start_ns` is how
    long the agent took to be ready, where this attempt had to start it.
    """

    steps: tuple[Step, ...] = ()
    output: str = ""
    state: Any = None
    cold_start_ns: int | None = None

    @property
    def answer(self) -> str:
        """What is graded and shown as the agent's answer: `output` without the thoughts before it."""
        return answer_in(self.output)

    @property
    def model_calls(self) -> tuple[ModelCall, ...]:
        return tuple(step for step in self.steps if isinstance(step, ModelCall))

    @property
    def served_calls(self) -> tuple[ModelCall, ...]:
        """The model calls that the run's own server was asked, without those of a step with a model of its own."""
        return tuple(call for call in self.model_calls if STEP not in call.request)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(step for step in self.steps if isinstance(step, ToolCall))

    @property
    def turns(self) -> tuple[tuple[Step, ...], ...]:
        """The steps cut at the user's turns (which are in none): one tuple for each turn of the agent."""
        turns: list[list[Step]] = [[]]
        for step in self.steps:
            if isinstance(step, UserTurn):
                turns.append([])
            else:
                turns[-1].append(step)
        return tuple(map(tuple, turns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt has no result to score. A value, never scored as 0.

    infra: the server or the network; timeout: the attempt's limit; agent: the agent's code raised; tool: a
    tool broke the attempt; grader: a scorer raised; budget: a limit on turns, tokens or calls.
    """

    kind: FailureKind
    message: str
    detail: str = field(default="", repr=False)
