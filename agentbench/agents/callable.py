"""The `callable` agent: any Python callable of any framework.

Plain functions run in a thread and use a blocking chat client and toolbox.
"""

import asyncio
import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.case import Case, ToolSpec
from agentbench.core.errors import AttemptError, UserError
from agentbench.core.protocols import ChatClient, ChatRequest, Reply, Toolbox
from agentbench.core.threads import in_thread
from agentbench.core.trace import ModelCall, ToolCall
from agentbench.gateway import Gateway
from agentbench.references import load_object

Result = TypeVar("Result")

BRAKE_S = 1.0
"""How long a call waits before it is refused after the attempt: a thread that goes on may repeat calls for ever."""


class Bridge:
    """Lets a thread wait for coroutines on an attempt's event loop, while the attempt lasts.

    A thread can't be stopped. After the attempt, `close` cancels the calls that are still waiting, and every further
    call is refused; it would otherwise run beside later attempts.
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
    """`ChatClient.chat` for threads: returns when the answer is complete."""

    def __init__(self, client: ChatClient, bridge: Bridge) -> None:
        self._client = client
        self._bridge = bridge

    def chat(self, request: ChatRequest) -> ModelCall:
        return self._bridge.wait(lambda: self._client.chat(request))


class BlockingTools:
    """`Toolbox.call` for threads."""

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


OURS = ("case", "backend", "tools")
OF_THE_GATEWAY = ("base_url", "api_key", "model")


class CallableConfig(BaseModel):
    """Options of the `callable` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str = Field(description="file.py:function or package.module:function.")
    options: Mapping[str, Any] = Field(default_factory=dict, description="Keyword arguments passed to it.")


class CallableAgent:
    """Calls `target` and takes its return value as the final text.

    Arguments are chosen by parameter name: `case`, `backend` and `tools`, as every agent gets them; `base_url`,
    `api_key` and `model` of an OpenAI-compatible server that records calls in the attempt's trace. Parameters of other
    names without a default or a value in `options` get `case`, `backend`, `tools` in this order. A plain function runs
    in a thread of its own with a blocking `backend` and `tools` that have the same methods. After the attempt's end
    they and the base URL refuse its calls. A result that is neither text nor a `Reply` is stored as JSON.
    """

    Config = CallableConfig

    def __init__(self, config: CallableConfig) -> None:
        self._function = _import(config.target)
        self._options = dict(config.options)
        self._wanted = _wanted(config.target, self._function, self._options)
        self._gateway = Gateway()
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if set(self._wanted.values()) & set(OF_THE_GATEWAY):
            await self._held.enter_async_context(self._gateway)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> str | Reply:
        arguments: dict[str, Any] = {"case": case, "backend": backend, "tools": tools}
        if not set(self._wanted.values()) & set(OF_THE_GATEWAY):
            return _answer(await self._call(arguments))
        async with self._gateway.route(backend) as route:
            arguments |= {name: getattr(route, name) for name in OF_THE_GATEWAY}
            return _answer(await self._call(arguments))

    async def _call(self, arguments: Mapping[str, Any]) -> Any:
        if _is_async(self._function):
            return await self._function(**self._arguments(arguments))
        bridge = Bridge(asyncio.get_running_loop())
        blocking = {
            "backend": BlockingClient(arguments["backend"], bridge),
            "tools": BlockingTools(arguments["tools"], bridge),
        }
        try:
            return await in_thread(lambda: _result(self._function(**self._arguments({**arguments, **blocking}))))
        finally:
            bridge.close()

    def _arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {**{parameter: arguments[name] for parameter, name in self._wanted.items()}, **self._options}


def _wanted(target: str, function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, str]:
    """Maps each parameter to its argument; parameters with unrelated names get `OURS` in order."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise UserError(f"agent.target {target!r} can't be called: {error}") from None
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    unknown = set(options) - {each.name for each in named}
    if unknown and not takes_any:
        names = ", ".join(each.name for each in named)
        raise UserError(f"agent.options has {sorted(unknown)[0]!r}, which {target} does not take: {names}")
    wanted = {each.name: each.name for each in named if each.name in (*OURS, *OF_THE_GATEWAY)}
    others = [each.name for each in named if each.name not in {*wanted, *options} and each.default is each.empty]
    left = [name for name in OURS if name not in wanted]
    if len(others) > len(left):
        raise UserError(
            f"agent.target {target!r}: its parameter {others[-1]!r} has no value;"
            f" it may take {', '.join((*OURS, *OF_THE_GATEWAY))}, and the names in agent.options"
        )
    return wanted | dict(zip(others, left, strict=False))


def _result(result: Any) -> Any:
    """The result of a plain function. A coroutine runs here, in the function's thread, since its arguments block."""
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def _is_async(function: Callable[..., Any]) -> bool:
    inner = function.func if isinstance(function, functools.partial) else function
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(type(inner).__call__)


def _import(target: str) -> Callable[..., Any]:
    try:
        function: Callable[..., Any] = load_object(target)
    except ValueError as error:
        raise UserError(f"agent.target {target!r}: {error}") from None
    return function


def _answer(result: Any) -> str | Reply:
    if result is None or isinstance(result, (str, Reply)):
        return result or ""
    try:
        return json.dumps(result, ensure_ascii=False)
    except TypeError:
        message = f"returned a {type(result).__name__}; expected text or a JSON value"
        raise AttemptError("agent", message) from None
