"""An agent that has another in it."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

from agentbench import spec
from agentbench.agents.offered import OffersTools
from agentbench.agents.step_model import StepModel, StepModelOptions
from agentbench.config import Component
from agentbench.protocols import Agent, ChecksItself, Toolbox


class WithInner:
    """Holds its inner agent for as long as it is held itself: what that needs (a gateway, processes) is there.

    `model` is that of the step that this agent adds, `step` its name.
    """

    def __init__(self, inner: Component, step: str = "", model: StepModelOptions | None = None) -> None:
        self._inner: Agent = spec.build("agents", inner, prefix=("agent", "inner"))
        self._model = StepModel(model, step)
        self._held = AsyncExitStack()

    def offered(self, tools: Toolbox) -> Toolbox:
        """Those of the tools that the inner agent offers its model."""
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
