"""An inner agent's work that may still be thrown away."""

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from agentbench.case import Case, Message, ToolSpec
from agentbench.protocols import Agent, Backend, ChatClient, ChatRequest, Held, Relay, Reply, Toolbox
from agentbench.trace import ModelCall, ToolCall


class DraftTools:
    """Runs tools that are executed, and only remembers calls of those that are declared: they are the agent's answer,
    and which draft is the answer is not known yet."""

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
        """Make the remembered calls for good."""
        return [await self._tools.call(*call) for call in self.declared]


class DraftClient:
    """The same backend with another seed, and another temperature where one is given."""

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
    """The inner agent's reply, and the declared calls that are part of it."""
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
