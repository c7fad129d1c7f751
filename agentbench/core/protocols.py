"""The seams: what an agent, a backend, a toolbox, a server, a dataset and a scorer promise.

An implementation is a class with a `Config` (a pydantic model with `extra="forbid"`) that is built as
`cls(config)`, a backend as `cls(config, endpoint)`, a tool source as `cls(config, root)`; `agentbench.suite.registry`
finds it by its entry-point name. An agent, a tool source, a scorer or a user that holds something for as long as a run
lasts (a process, a server) is an async context manager too: entered before the first attempt, left after the last.
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
    """One chat request. `tool_choice` and `response_format` are as in OpenAI's API; None leaves it to the server.

    `seed` is filled in by the recorder from the attempt's own when the agent leaves it None.
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
"""Given an answer's bytes as they come: the body of an OpenAI event stream. Must not block or raise."""


class BrokenOff(AttemptError):
    """An answer that broke after some of it had come; `call` has what came, with its times."""

    def __init__(self, kind: FailureKind, message: str, call: ModelCall) -> None:
        super().__init__(kind, message)
        self.call = call


class CutOff(asyncio.CancelledError):
    """The cancellation of a request, with what had come of its answer."""

    def __init__(self, call: ModelCall) -> None:
        super().__init__()
        self.call = call


class Backend(Protocol):
    """Answers chat requests.

    `needs_server` is False when it answers by itself; its endpoint is None then. `chat` raises
    `AttemptError("infra", …)` when no answer came (refused, reset), and `ServerRefused` with the status of one that is
    none: the agent's failure where the request itself was wrong (400, 413, 422), else the server's. Safe for
    concurrent use. `relay` sees the answer while it comes, nothing of a refusal. Where some of an answer came before it
    broke or was cancelled, a backend that can tell it raises `BrokenOff` or `CutOff`.
    """

    needs_server: bool

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall: ...

    async def aclose(self) -> None: ...


class ToolSession(Protocol):
    """What one tool source offers one attempt."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]: ...

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result as text. Whatever it raises is told to the agent as the call's error, but for
        `AttemptError`, which ends the attempt: the tool itself is broken (its server died)."""
        ...

    async def state(self) -> Any:
        """The state as a JSON value, which later calls do not change; None when it keeps none."""
        ...


@runtime_checkable
class ConvertsArguments(Protocol):
    """A tool session that takes arguments of another type than the one it declares, and converts them."""

    async def converted(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments as the tool runs with them, as JSON: "1" as 1 for an int. Those it refuses are unchanged."""
        ...


@runtime_checkable
class MayHang(Protocol):
    """A tool session whose server may have stopped answering."""

    async def check(self) -> None:
        """Asked when a call was given up for its time: `AttemptError` when nothing else is answered either."""
        ...


class ToolSource(Protocol):
    """Functions, a stateful toolkit or an MCP server that a suite names; `session` gives an attempt its tools.

    Entering the session resets what it keeps to the case's start; attempts at once do not see each other's.
    """

    def session(self, case: Case) -> AbstractAsyncContextManager[ToolSession]: ...


@runtime_checkable
class KnowsTools(Protocol):
    """A tool source whose tools have the same names in every attempt, known before the first."""

    @property
    def names(self) -> tuple[str, ...]: ...


class Toolbox(Protocol):
    """The tools of one attempt: those of the suite, which are executed, and those of the case, which are not."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]: ...

    def executes(self, name: str) -> bool:
        """Whether a call of this tool has a result; a tool that is only declared has none."""
        ...

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        """Never raises for what a model can get wrong: an unknown tool, bad JSON or a tool that raises is a
        `ToolCall` with its `error` set. `AttemptError` ends the attempt: a tool broke, or a limit is exceeded."""
        ...

    async def state(self) -> Any:
        """The state of the tools that keep one (a JSON value), a list in the suite's order when several do."""
        ...


class ChatClient(Protocol):
    """What an agent is handed for a backend: the same `chat`, recorded under its attempt."""

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall: ...

    def through(self, backend: Backend, step: str) -> "ChatClient":
        """The same record and limits, answered by another model: that of the agent's step of this name."""
        ...

    def record_cold_start(self, duration_ns: int) -> None:
        """How long the agent took to be ready, by one that had to be started for this attempt."""
        ...

    async def hold(self, resource: AbstractAsyncContextManager[Held]) -> Held:
        """Enter `resource` and keep it until the attempt has ended, over all turns of its conversation."""
        ...

    def observe(self, call: ToolCall) -> None:
        """A tool call that the agent made, known from the messages it sent; one made with our tools is not new."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An agent's answer to the conversation so far.

    `messages` is what it adds to the conversation (tool calls and their results included), for the turns after
    this one; left empty, it is the text as one assistant message.
    """

    text: str
    messages: tuple[Message, ...] = ()


class Agent(Protocol):
    """Works on a case and returns its final text, or a `Reply`.

    What it did is recorded by the `backend` and `tools` it is handed, so that a trace is true for any agent
    and survives a timeout. Raises `AttemptError("budget", …)` when one of its limits is exceeded. In a case of
    several turns it is called once a turn, with the conversation so far as the case's messages.
    """

    def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> Awaitable[str | Reply]: ...


class User(Protocol):
    """Plays the user of a case of several turns.

    `session` is one conversation; its `say` is given the conversation so far and says what comes next, nothing
    when the conversation is over. `AttemptError("infra", …)` when it can't: a failure that is not the agent's.
    `check` raises `UserError` for a case whose `user` it does not understand; it is asked when a suite is read.
    """

    def check(self, case: Case) -> None: ...

    def session(self, case: Case, seed: int) -> "UserSession": ...


class UserSession(Protocol):
    """One conversation of a simulated user."""

    async def say(self, conversation: Sequence[Message]) -> tuple[Message, ...]: ...


@runtime_checkable
class UsesBackend(Protocol):
    """A scorer or a user that asks a model: handed the run's backend before the first attempt."""

    def use(self, backend: Backend) -> None: ...


@runtime_checkable
class UsesRoot(Protocol):
    """A scorer that reads files beside its suite: handed the suite's directory when the suite is loaded."""

    def use_root(self, root: Path) -> None: ...


@runtime_checkable
class ChecksCases(Protocol):
    """A scorer that knows, before any answer, which cases it can't grade: `UserError` names the case and what its
    `expected` should be. Asked for every case when a suite is read."""

    def check(self, case: Case) -> None: ...


@runtime_checkable
class UsesAnswers(Protocol):
    """A scorer that holds answers against those of another run: handed them before the first attempt.

    `answers_of` names the run, None when it needs none. The answers are the final texts by case id, in the order
    of their repeats, without those of attempts that failed.
    """

    answers_of: str | None

    def use_answers(self, answers: Mapping[str, Sequence[str]]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a started server answers. `base_url` ends in /v1.

    `headers` and `query` go with every request, beside the key. Of a request's body `renamed` has fields that the
    server knows by another name; then those of `extra_body` are set, and left out where they are None.
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
        """A request's body as this server takes it."""
        named = {self.renamed.get(key, key): value for key, value in wanted.items()}
        return {key: value for key, value in {**named, **self.extra_body}.items() if value is not None}


class Server(Protocol):
    """A model server we start and stop, or a URL we are given.

    `lossless_knobs` are those of its configuration that may change speed but never an answer, with what else is
    configured and on this machine. `start` returns when the server answers, and raises `UserError` (with the end of
    its log) when it does not come up. `stop` ends the whole process group and is safe to call twice.
    """

    @property
    def lossless_knobs(self) -> frozenset[str]: ...

    async def start(self, log_path: Path) -> Endpoint: ...

    async def stop(self) -> None: ...


@runtime_checkable
class ChecksItself(Protocol):
    """A server or an agent that knows, without being started, that it can't: `UserError` for a model or a program
    that is not here."""

    def check(self) -> None: ...


@runtime_checkable
class KnowsPlaces(Protocol):
    """Cases that know where each of them is written: `cases.jsonl:3`."""

    def place(self, index: int) -> str: ...


class Dataset(Protocol):
    """A source of cases. `root` is the suite's directory; relative paths are taken from there."""

    def load(self, root: Path) -> Sequence[Case]: ...


class Scorer(Protocol):
    """Grades a finished attempt; must not raise for anything a model can write.

    `name` is what a suite's `passed_by` and the scores call it; a suite's `label` replaces it.
    """

    name: str

    async def score(self, case: Case, trace: Trace) -> Score: ...
