"""The seams: what an agent, a backend, a toolbox, a server, a dataset and a scorer promise.

An implementation is a class with a `Config` (a pydantic model with `extra="forbid"`) that is built as
`cls(config)`, a backend as `cls(config, endpoint)`; `agentbench.spec` finds it by its entry-point name.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from agentbench.case import Case, Message, ToolSpec
from agentbench.score import Score
from agentbench.trace import ModelCall, ToolCall, Trace


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


class Backend(Protocol):
    """Answers chat requests.

    `needs_server` is False when it answers by itself; its endpoint is None then. `chat` raises
    `AttemptError("infra", …)` when no answer came (refused, reset, 5xx, 429) and `AttemptError("agent", …)`
    when the request itself was refused (4xx). Safe for concurrent use.
    """

    needs_server: bool

    async def chat(self, request: ChatRequest) -> ModelCall: ...

    async def aclose(self) -> None: ...


class Toolbox(Protocol):
    """The tools of one attempt: those of the suite, which are executed, and those of the case, which are not."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]: ...

    def executes(self, name: str) -> bool:
        """Whether a call of this tool has a result; a tool that is only declared has none."""
        ...

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        """Never raises for what a model can get wrong: an unknown tool, bad JSON or a tool that raises is a
        `ToolCall` with its `error` set."""
        ...


class ChatClient(Protocol):
    """What an agent is handed for a backend: the same `chat`, recorded under its attempt."""

    async def chat(self, request: ChatRequest) -> ModelCall: ...


class Agent(Protocol):
    """Works on a case and returns its final text.

    What it did is recorded by the `backend` and `tools` it is handed, so that a trace is true for any agent
    and survives a timeout. Raises `AttemptError("budget", …)` when one of its limits is exceeded.
    """

    def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> Awaitable[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a started server answers. `base_url` ends in /v1."""

    base_url: str
    model: str
    api_key: str = "none"
    continuous_usage: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)


class Server(Protocol):
    """A model server we start and stop, or a URL we are given.

    `lossless_knobs` are those of its configuration that may change speed but never greedy output. `start`
    returns when the server answers, and raises `UserError` (with the end of its log) when it does not come
    up. `stop` ends the whole process group and is safe to call twice.
    """

    lossless_knobs: frozenset[str]

    async def start(self, log_path: Path) -> Endpoint: ...

    async def stop(self) -> None: ...


class Dataset(Protocol):
    """A source of cases. `root` is the suite's directory; relative paths are taken from there."""

    def load(self, root: Path) -> Sequence[Case]: ...


class Scorer(Protocol):
    """Grades a finished attempt; must not raise for anything a model can write."""

    name: str

    async def score(self, case: Case, trace: Trace) -> Score: ...
