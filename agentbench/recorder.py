"""Records what one attempt does while it does it."""

from collections.abc import Mapping
from typing import Any

from agentbench.case import ToolSpec
from agentbench.protocols import Backend, ChatRequest, Toolbox
from agentbench.trace import ModelCall, Step, ToolCall, Trace


class Recorder:
    """Stands between an agent and its backend and tools; both seams in one, so that steps keep their order.

    The steps so far outlive an agent that raises, times out or is cancelled.
    """

    def __init__(self, backend: Backend, tools: Toolbox, seed: int) -> None:
        self._backend = backend
        self._tools = tools
        self._seed = seed
        self._steps: list[Step] = []

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return self._tools.specs

    def executes(self, name: str) -> bool:
        return self._tools.executes(name)

    async def chat(self, request: ChatRequest) -> ModelCall:
        call = await self._backend.chat(request.with_seed(self._seed))
        self._steps.append(call)
        return call

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        call = await self._tools.call(name, arguments, call_id)
        self._steps.append(call)
        return call

    def trace(self, output: str = "") -> Trace:
        return Trace(steps=tuple(self._steps), output=output)
