"""Any Python callable as an agent."""

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench.agents.blocking import BlockingClient, BlockingTools
from agentbench.case import Case
from agentbench.errors import AttemptError, UserError
from agentbench.protocols import ChatClient, Toolbox


class CallableConfig(BaseModel):
    """Options of the `callable` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str = Field(description="package.module:function, importable from where the run starts.")
    options: Mapping[str, Any] = Field(default_factory=dict, description="Keyword arguments handed to it.")


class CallableAgent:
    """Calls `target(case, backend, tools, **options)` and takes what it returns as the final text.

    A coroutine function gets `backend` and `tools` as an agent of ours does. A plain function runs in a
    thread and gets blocking ones with the same methods. A result that is no string is stored as JSON.
    """

    Config = CallableConfig

    def __init__(self, config: CallableConfig) -> None:
        self._function = _import(config.target)
        self._options = dict(config.options)

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> str:
        if inspect.iscoroutinefunction(self._function):
            result = await self._function(case, backend, tools, **self._options)
        else:
            loop = asyncio.get_running_loop()
            blocking = BlockingClient(backend, loop), BlockingTools(tools, loop)
            result = await asyncio.to_thread(self._function, case, *blocking, **self._options)
        return _as_text(result)


def _import(target: str) -> Callable[..., Any]:
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise UserError(f"agent.target {target!r}: expected package.module:function")
    try:
        function = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"agent.target {target!r} can't be imported: {error}") from None
    if not callable(function):
        raise UserError(f"agent.target {target!r} is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]


def _as_text(result: Any) -> str:
    if result is None or isinstance(result, str):
        return result or ""
    try:
        return json.dumps(result, ensure_ascii=False)
    except TypeError:
        message = f"returned a {type(result).__name__}; expected text or a JSON value"
        raise AttemptError("agent", message) from None
