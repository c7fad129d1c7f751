"""Parts of agents that wrap another agent: the inner agent, a separate model for one step, and drafts that may be
thrown away.

A step's server and backend stay open for the whole run.
"""

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.agents.context import OffersTools
from agentbench.core.case import Case, Message, ToolSpec
from agentbench.core.protocols import Agent, Backend, ChatClient, ChatRequest, ChecksItself, Held, Relay, Reply, Toolbox
from agentbench.core.trace import ModelCall, ToolCall
from agentbench.run.model_server import opened_model
from agentbench.suite import registry
from agentbench.suite.config import Component, Serving


class StepModelOptions(BaseModel):
    """The model of one step: `serving` as in a configuration, and `backend` unless it is `openai_http`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    serving: Serving | None = Field(None, description="Its server, for example {server: url, base_url: …}.")
    backend: Component | None = Field(None, description="Its backend; openai_http by default.")

    @model_validator(mode="after")
    def _named(self) -> "StepModelOptions":
        if self.serving is None and self.backend is None:
            raise ValueError("name a model: serving, backend or both; leave it out for the run's own")
        return self


class StepModel:
    """The model of the step of this name; without options, the run's own model."""

    def __init__(self, options: StepModelOptions | None, step: str) -> None:
        self._options = options
        self._step = step
        self._backend: Backend | None = None

    async def open(self, held: AsyncExitStack) -> None:
        """Open the step's model, if it has its own, until `held` is left."""
        if self._options is not None:
            opening = opened_model(self._options.serving, self._options.backend, self._step)
            self._backend = await held.enter_async_context(opening)

    def client(self, backend: ChatClient) -> ChatClient:
        """A client for the step's model that records under the same attempt as `backend`."""
        if self._options is None:
            return backend
        assert self._backend is not None, "an agent with a model of its own is entered before its first attempt"
        return backend.through(self._backend, self._step)


class WithInner:
    """Holds an inner agent and enters and leaves it with itself, so that its resources (a gateway, processes) are
    there.

    `model` is the model of the step that this agent adds, `step` the step's name.
    """

    def __init__(self, inner: Component, step: str = "", model: StepModelOptions | None = None) -> None:
        self._inner: Agent = registry.build("agents", inner, prefix=("agent", "inner"))
        self._model = StepModel(model, step)
        self._held = AsyncExitStack()

    def offered(self, tools: Toolbox) -> Toolbox:
        """The tools that the inner agent offers its model."""
        return self._inner.offered(tools) if isinstance(self._inner, OffersTools) else tools

    def check(self) -> None:
        if isinstance(self._inner, ChecksItself):
            self._inner.check()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._model.open(stack)
            if isinstance(self._inner, AbstractAsyncContextManager):
                await stack.enter_async_context(self._inner)
            self._held = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()


class DraftTools:
    """Executes calls of executable tools, and only buffers calls of declared ones. The latter are part of the answer,
    and this draft may not become the answer.
    """

    def __init__(self, tools: Toolbox) -> None:
        self._tools = tools
        self.declared: list[tuple[str, str | Mapping[str, Any], str]] = []

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return self._tools.specs

    def executes(self, name: str) -> bool:
        return self._tools.executes(name)

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        if self.executes(name):
            return await self._tools.call(name, arguments, call_id)
        self.declared.append((name, arguments, call_id))
        parsed = arguments if isinstance(arguments, Mapping) else _parsed(arguments)
        return ToolCall(call_id=call_id, name=name, arguments=parsed, started_at=0, ended_at=0, executed=False)

    async def state(self) -> Any:
        return await self._tools.state()

    async def keep(self) -> list[ToolCall]:
        """Record the buffered calls in the trace."""
        return [await self._tools.call(*call) for call in self.declared]


class DraftClient:
    """The same client with another seed, and optionally another temperature."""

    def __init__(self, client: ChatClient, seed: int | None = None, temperature: float | None = None) -> None:
        self._client = client
        self._seed = seed
        self._temperature = temperature

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        if self._seed is not None:
            request = request.with_seed(self._seed)
        if self._temperature is not None:
            request = replace(request, temperature=self._temperature)
        return await self._client.chat(request, relay)

    def through(self, backend: Backend, step: str) -> "DraftClient":
        return DraftClient(self._client.through(backend, step), self._seed, self._temperature)

    def record_cold_start(self, duration_ns: int) -> None:
        self._client.record_cold_start(duration_ns)

    async def hold(self, resource: AbstractAsyncContextManager[Held]) -> Held:
        return await self._client.hold(resource)

    def observe(self, call: ToolCall) -> None:
        self._client.observe(call)


async def draft(agent: Agent, case: Case, backend: ChatClient, tools: Toolbox) -> tuple[Reply, DraftTools]:
    """The inner agent's reply and the declared calls it made."""
    drafting = DraftTools(tools)
    answer = await agent(case, backend, drafting)
    return answer if isinstance(answer, Reply) else Reply(text=answer), drafting


def messages_of(reply: Reply) -> tuple[Message, ...]:
    return reply.messages or ({"role": "assistant", "content": reply.text},)


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
