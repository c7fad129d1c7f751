"""Blocking faces of a chat client and a toolbox, for agents that are plain functions in a thread."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from agentbench.case import ToolSpec
from agentbench.errors import AttemptError
from agentbench.protocols import ChatClient, ChatRequest, Toolbox
from agentbench.trace import ModelCall, ToolCall

Result = TypeVar("Result")

BRAKE_S = 1.0
"""How long a call waits for its refusal when the attempt is over: a thread that goes on may make it for ever."""


class Bridge:
    """From a thread to the loop of an attempt, while that lasts.

    A thread can't be stopped. When the attempt is over, `close` ends the calls that it still waits for, and it can make
    no more: they would be made beside the attempts that run then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._closed = False
        self._running: set[asyncio.Task[Any]] = set()

    def wait(self, work: Callable[[], Awaitable[Result]]) -> Result:
        return asyncio.run_coroutine_threadsafe(self._do(work), self._loop).result()

    async def _do(self, work: Callable[[], Awaitable[Result]]) -> Result:
        if self._closed:
            await asyncio.sleep(BRAKE_S)
            raise AttemptError("agent", "the attempt has ended")
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            return await work()
        finally:
            self._running.discard(task)

    def close(self) -> None:
        self._closed = True
        for task in self._running:
            task.cancel()


class BlockingClient:
    """`ChatClient.chat` for a thread: returns when the answer is complete."""

    def __init__(self, client: ChatClient, bridge: Bridge) -> None:
        self._client = client
        self._bridge = bridge

    def chat(self, request: ChatRequest) -> ModelCall:
        return self._bridge.wait(lambda: self._client.chat(request))


class BlockingTools:
    """`Toolbox.call` for a thread."""

    def __init__(self, tools: Toolbox, bridge: Bridge) -> None:
        self._tools = tools
        self._bridge = bridge

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return self._tools.specs

    def executes(self, name: str) -> bool:
        return self._tools.executes(name)

    def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        return self._bridge.wait(lambda: self._tools.call(name, arguments, call_id))
