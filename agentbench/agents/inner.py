"""An agent that has another in it."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

from agentbench import spec
from agentbench.config import Component
from agentbench.protocols import Agent


class WithInner:
    """Holds its inner agent for as long as it is held itself: what that needs (a gateway, processes) is there."""

    def __init__(self, inner: Component) -> None:
        self._inner: Agent = spec.build("agents", inner, prefix=("agent", "inner"))
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if isinstance(self._inner, AbstractAsyncContextManager):
            await self._held.enter_async_context(self._inner)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()
