"""Blocking faces of a chat client and a toolbox, for agents that are plain functions in a thread."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from agentbench.case import ToolSpec
from agentbench.protocols import ChatClient, ChatRequest, Toolbox
from agentbench.trace import ModelCall, ToolCall

Result = TypeVar("Result")


def _wait(work: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop) -> Result:
    return asyncio.run_coroutine_threadsafe(work, loop).result()


class BlockingClient:
    """`ChatClient.chat` for a thread: returns when the answer is complete."""

    def __init__(self, client: ChatClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def chat(self, request: ChatRequest) -> ModelCall:
        return _wait(self._client.chat(request), self._loop)


class BlockingTools:
    """`Toolbox.call` for a thread."""

    def __init__(self, tools: Toolbox, loop: asyncio.AbstractEventLoop) -> None:
        self._tools = tools
        self._loop = loop

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return self._tools.specs

    def executes(self, name: str) -> bool:
        return self._tools.executes(name)

    def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        return _wait(self._tools.call(name, arguments, call_id), self._loop)
