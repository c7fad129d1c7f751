"""The seams: protocols for agents, backends, toolboxes, servers, datasets, scorers and simulated users.

An implementation is a class with a `Config` (a pydantic model with `extra="forbid"`). It is built as `cls(config)`, a
backend as `cls(config, endpoint)`, a tool source as `cls(config, root)`. `agentbench.suite.registry` finds it by its
entry-point name. An agent, a tool source, a scorer or a user that holds a resource during the run (a process, a server)
is an async context manager too. It is entered before the first attempt and left after the last.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from agentbench.core.attempt import Score
from agentbench.core.case import Case, Message, ToolSpec
from agentbench.core.errors import AttemptError, FailureKind
from agentbench.core.trace import ModelCall, ToolCall, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One chat request. `tool_choice` and `response_format` are as in OpenAI's API; None leaves the choice to the
    server.

    When the agent leaves `seed` None, the recorder sets it to the attempt's seed.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    response_format: Mapping[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def with_seed(self, seed: int) -> "ChatRequest":
        return self if self.seed is not None else replace(self, seed=seed)


Held = TypeVar("Held")

Relay = Callable[[bytes], None]
"""Receives an answer's bytes as they arrive: the body of an OpenAI event stream. An empty piece says that the stream
has begun, before its first event. Must not block or raise."""


class BrokenOff(AttemptError):
    """An answer that broke off after part of it had arrived; `call` holds that part with its times."""

    def __init__(self, kind: FailureKind, message: str, call: ModelCall) -> None:
        super().__init__(kind, message)
        self.call = call


class CutOff(asyncio.CancelledError):
    """The cancellation of a request; `call` holds the part of the answer that had arrived."""

    def __init__(self, call: ModelCall) -> None:
        super().__init__()
        self.call = call


class Backend(Protocol):
    """Answers chat requests.

    `needs_server` is False for a backend that answers without a server; its endpoint is None then. `chat` raises
    `AttemptError("infra", …)` when no answer arrived (connection refused or reset), and `ServerRefused` when the server
    answered with an error status. The agent is at fault when the request itself was wrong (400, 413, 422), otherwise
    the server. `chat` is safe for concurrent use. `relay` receives the bytes of an answer as they arrive, but none of a
    refusal. When part of an answer arrived before it broke off or was cancelled, a backend that records this part
    raises `BrokenOff` or `CutOff`.
    """

    needs_server: bool

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall: ...

    async def aclose(self) -> None: ...


class ToolSession(Protocol):
    """The tools of one tool source, open for one attempt."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]: ...

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result as text. The agent receives an exception as the call's error, except `AttemptError`: it ends the
        attempt because the tool itself is broken (its server died).
        """
        ...

    async def state(self) -> Any:
        """A snapshot of the state as a JSON value, which later calls do not change; None for a source without state."""
        ...


@runtime_checkable
class ConvertsArguments(Protocol):
    """A tool session that accepts and converts arguments of another type than the declared one."""

    async def converted(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments that the tool runs with, as JSON: "1" becomes 1 for an int. Arguments that the tool refuses
        stay unchanged.
        """
        ...


@runtime_checkable
class MayHang(Protocol):
    """A tool session whose server may have stopped responding."""

    async def check(self) -> None:
        """Called after a tool call timed out; raises `AttemptError` when the server responds to nothing else either."""
        ...


class ToolSource(Protocol):
    """Functions, a stateful toolkit or an MCP server that a suite names; `session` opens its tools for an attempt.

    Entering the session resets its state to the case's initial state. Concurrent attempts do not see each other's
    state.
    """

    def session(self, case: Case) -> AbstractAsyncContextManager[ToolSession]: ...


@runtime_checkable
class KnowsTools(Protocol):
    """A tool source with the same tool names in every attempt; the names are available before the first attempt."""

    @property
    def names(self) -> tuple[str, ...]: ...


class Toolbox(Protocol):
    """The tools of one attempt: those of the suite, which are executed, and those of the case, which are not."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]: ...

    def executes(self, name: str) -> bool:
        """Whether calls of this tool return a result; a tool that is only declared returns none."""
        ...

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        """Never raises for a model's mistake: an unknown tool, bad JSON or a tool that raises gives a `ToolCall` with
        `error` set. An `AttemptError` ends the attempt: a tool broke, or a limit was exceeded.
        """
        ...

    async def state(self) -> Any:
        """The state of the stateful tools as a JSON value; a list in the suite's order when there are several."""
        ...


class ChatClient(Protocol):
    """The recording client that an agent receives as its model: it has a backend's `chat`, and records each call in the
    attempt's trace.
    """

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall: ...

    def through(self, backend: Backend, step: str) -> "ChatClient":
        """A client with the same record and limits for another model: the model of the agent's step of this name."""
        ...

    def record_cold_start(self, duration_ns: int) -> None:
        """Record the startup time of an agent that was started for this attempt."""
        ...

    async def hold(self, resource: AbstractAsyncContextManager[Held]) -> Held:
        """Enter `resource` and hold it until the attempt ends, over all turns of its conversation."""
        ...

    def observe(self, call: ToolCall) -> None:
        """Record a tool call found in the agent's messages, unless the call went through our tools and is recorded
        already.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An agent's answer to the conversation so far.

    `messages` are the messages it adds to the conversation for later turns, tool calls and results included. When it is
    empty, `text` is added as one assistant message.
    """

    text: str
    messages: tuple[Message, ...] = ()


class Agent(Protocol):
    """Works on a case and returns its final text, or a `Reply`.

    The `backend` and `tools` that it receives record every step, so that a trace is complete for any agent and survives
    a timeout. Raises `AttemptError("budget", …)` when one of its limits is exceeded. In a case of several turns it is
    called once per turn, with the conversation so far as the case's messages.
    """

    def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> Awaitable[str | Reply]: ...


class User(Protocol):
    """Plays the user in a case of several turns.

    `session` opens one conversation. Its `say` receives the conversation so far and returns the next messages, none
    when the conversation is over. It raises `AttemptError("infra", …)` when it fails, which does not count against the
    agent. `check` runs when a suite is read, and raises `UserError` for a case with an invalid `user`.
    """

    def check(self, case: Case) -> None: ...

    def session(self, case: Case, seed: int) -> "UserSession": ...


class UserSession(Protocol):
    """One conversation of a simulated user."""

    async def say(self, conversation: Sequence[Message]) -> tuple[Message, ...]: ...


@runtime_checkable
class UsesBackend(Protocol):
    """A scorer or a user that calls a model: it receives the run's backend before the first attempt."""

    def use(self, backend: Backend) -> None: ...


@runtime_checkable
class UsesRoot(Protocol):
    """A scorer that reads files of the suite: it receives the suite's directory when the suite is loaded."""

    def use_root(self, root: Path) -> None: ...


@runtime_checkable
class ChecksCases(Protocol):
    """A scorer that finds the cases it can't grade when the suite is read, before any answer. `UserError` names the
    case and the expected form of its `expected`.
    """

    def check(self, case: Case) -> None: ...


@runtime_checkable
class UsesAnswers(Protocol):
    """A scorer that compares answers with those of another run: it receives them before the first attempt.

    `answers_of` names the run, None when it needs none. The answers are the final texts by case id, in the order of
    their repeats, without failed attempts.
    """

    answers_of: str | None

    def use_answers(self, answers: Mapping[str, Sequence[str]]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address of a started server. `base_url` ends in /v1.

    Every request carries `headers` and `query` beside the key. `renamed` maps fields of a request's body to this
    server's names. Fields of `extra_body` are set after that; a field that is None is left out.
    """

    base_url: str
    model: str
    api_key: str = field(default="none", repr=False)
    continuous_usage: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    renamed: Mapping[str, str] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The request's body in the form that this server accepts."""
        named = {self.renamed.get(key, key): value for key, value in wanted.items()}
        return {key: value for key, value in {**named, **self.extra_body}.items() if value is not None}


class Server(Protocol):
    """A model server that we start and stop, or the URL of a running one.

    `lossless_knobs` are the knobs that can change speed but never an answer, for this configuration on this machine.
    `start` returns when the server is ready, and raises `UserError` (with the end of its log) when it does not start.
    `stop` ends the whole process group and is safe to call twice.
    """

    @property
    def lossless_knobs(self) -> frozenset[str]: ...

    async def start(self, log_path: Path) -> Endpoint: ...

    async def stop(self) -> None: ...


@runtime_checkable
class ChecksItself(Protocol):
    """A server or an agent that checks its requirements before it is started: `UserError` for a missing model or
    program.
    """

    def check(self) -> None: ...


@runtime_checkable
class KnowsPlaces(Protocol):
    """Cases with their place in the source file: `cases.jsonl:3`."""

    def place(self, index: int) -> str: ...


class Dataset(Protocol):
    """A source of cases. `root` is the suite's directory, to which relative paths refer."""

    def load(self, root: Path) -> Sequence[Case]: ...


class Scorer(Protocol):
    """Grades a finished attempt; must not raise for any text that a model can write.

    `passed_by` and the scores refer to it by `name`; a suite's `label` replaces this name.
    """

    name: str

    async def score(self, case: Case, trace: Trace) -> Score: ...
