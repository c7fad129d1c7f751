"""Records the steps of one attempt as they happen, and enforces its limits."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Any

from agentbench.core.case import Message, ToolSpec
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import Backend, BrokenOff, ChatRequest, CutOff, Held, Relay, Toolbox
from agentbench.core.trace import STEP, ModelCall, Step, ToolCall, Trace, UserTurn
from agentbench.suite.config import Limits

BRAKE_S = 1.0
"""How long a call waits before it is refused after the attempt: the caller may repeat it for ever."""


class Recorder:
    """Stands between an agent and its model and tools. One object records both, so that steps stay in order.

    The steps so far survive an agent that raises, times out or is cancelled. A framework may catch the exception of a
    failed call and go on, or raise its own: `broken` holds the original failure.
    """

    def __init__(self, backend: Backend, tools: Toolbox, seed: int, limits: Limits | None = None) -> None:
        self._backend = backend
        self._tools = tools
        self._seed = seed
        self._limits = limits or Limits()
        self._steps: list[Step] = []
        self._models_started = 0
        self._tools_started = 0
        self._tokens = 0
        self._cold_start_ns: int | None = None
        self._held = AsyncExitStack()
        self._unobserved: list[ToolCall] = []
        self._unanswered: AttemptError | None = None
        self._ended: AttemptError | None = None
        self._in_flight: list[_Flight] = []
        self._closed_at: int | None = None

    @property
    def broken(self) -> AttemptError | None:
        """The failure that ends the attempt whatever the agent does: an exceeded limit, a broken tool, or a model call
        that the server failed without a later successful call.
        """
        return self._ended or self._unanswered

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return self._tools.specs

    def executes(self, name: str) -> bool:
        return self._tools.executes(name)

    async def state(self) -> Any:
        return await self._tools.state()

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        return await self.chat_with(self._backend, request, relay)

    def through(self, backend: Backend, step: str) -> "StepClient":
        return StepClient(self, backend, step)

    async def chat_with(
        self, backend: Backend, request: ChatRequest, relay: Relay | None = None, step: str = ""
    ) -> ModelCall:
        """The answer of this backend; `step` names the agent's step with a model of its own."""
        self._models_started += 1
        await self._hold("model_calls", self._models_started)
        await self._hold("tokens", self._tokens)
        seeded = request.with_seed(self._seed)
        intended_at = perf_counter_ns()
        try:
            with self._recorded(lambda error: _marked(_failed(seeded, intended_at, error), step)):
                call = _marked(await backend.chat(seeded, relay), step)
        except AttemptError as error:
            self._unanswered = error if error.kind == "infra" else None
            raise
        except CutOff as error:
            raise asyncio.CancelledError(*error.args) from None
        self._unanswered = None
        self._tokens += _least_tokens(call)
        self._steps.append(call)
        return call

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        self._tools_started += 1
        await self._hold("tool_calls", self._tools_started)
        started_at = perf_counter_ns()
        try:
            with self._recorded(lambda error: self._failed_call(name, arguments, call_id, started_at, error)):
                call = await self._tools.call(name, arguments, call_id)
        except AttemptError as error:
            self._ended = error
            raise
        self._steps.append(call)
        self._unobserved.append(call)
        return call

    def _failed_call(
        self, name: str, arguments: str | Mapping[str, Any], call_id: str, started_at: int, error: BaseException | None
    ) -> ToolCall:
        return ToolCall(
            call_id=call_id,
            name=name,
            arguments=_as_object(arguments),
            started_at=started_at,
            ended_at=perf_counter_ns(),
            executed=self.executes(name),
            error=str(error) if isinstance(error, AttemptError) else "cut off: the attempt ended during the call",
        )

    @contextmanager
    def _recorded(self, failed: Callable[[BaseException | None], Step]) -> Iterator[None]:
        """Records a failed step when the block raises, is cancelled, or is still running at the attempt's end."""
        task = asyncio.current_task()
        assert task is not None
        flight = _Flight(task, failed)
        self._in_flight.append(flight)
        try:
            yield
        except (AttemptError, asyncio.CancelledError) as error:
            self._steps.append(failed(error))
            raise
        finally:
            self._in_flight.remove(flight)

    async def hold(self, resource: AbstractAsyncContextManager[Held]) -> Held:
        return await self._held.enter_async_context(resource)

    async def release(self) -> None:
        """Leave the held resources; the attempt is over."""
        await self._held.aclose()

    def close(self) -> int:
        """End the attempt, at the time of the first such call (`perf_counter_ns`).

        Calls of an agent that was abandoned are refused, and its pending calls are cancelled.
        """
        if self._closed_at is None:
            self._closed_at = perf_counter_ns()
            for flight in self._in_flight:
                flight.task.cancel()
        return self._closed_at

    def observe(self, call: ToolCall) -> None:
        """Record a call once. A call of our own tools is recorded already, possibly without its id, since functions
        called by a framework don't receive it.
        """
        alike = [own for own in self._unobserved if own.name == call.name and own.call_id in ("", call.call_id)]
        if alike:
            self._unobserved.remove(max(alike, key=lambda own: (own.call_id, own.arguments == call.arguments)))
        else:
            self._steps.append(call)

    def record_cold_start(self, duration_ns: int) -> None:
        self._cold_start_ns = (self._cold_start_ns or 0) + duration_ns

    def user_turn(self, messages: tuple[Message, ...], state: Any, started_at: int) -> None:
        self._steps.append(UserTurn(messages=messages, state=state, started_at=started_at, ended_at=perf_counter_ns()))

    def trace(self, output: str = "", state: Any = None) -> Trace:
        cut_off = (flight.failed(None) for flight in self._in_flight)
        steps = tuple(sorted((*self._steps, *cut_off), key=_began))
        return Trace(steps=steps, output=output, state=state, cold_start_ns=self._cold_start_ns)

    async def _hold(self, limit: str, used: int) -> None:
        """Raises when the attempt is over or `used` exceeds the limit, and stores the failure, so that an agent can't
        swallow it.

        An agent that swallows the exception may call again at once, for ever; this yields to the event loop so that
        others run.
        """
        if self._closed_at is not None:
            await asyncio.sleep(BRAKE_S)
            raise AttemptError("agent", "the attempt has ended")
        most = getattr(self._limits, limit)
        if most is not None and used > most:
            self._ended = AttemptError("budget", f"more than run.limits.{limit}={most}")
            await asyncio.sleep(0)
            raise self._ended


def _least_tokens(call: ModelCall) -> int:
    """A lower bound of the call's tokens: a server that doesn't count them sent at least one in each chunk."""
    answered = sum(call.chunk_tokens) if call.completion_tokens is None else call.completion_tokens
    return (call.prompt_tokens or 0) + answered


@dataclass(frozen=True, slots=True)
class _Flight:
    """A step in progress: its task, and the record to store when it fails."""

    task: asyncio.Task[Any]
    failed: Callable[[BaseException | None], Step]


class StepClient:
    """Implements `ChatClient` for an agent's step with its own model; it writes to the attempt's one record."""

    def __init__(self, recorder: Recorder, backend: Backend, step: str) -> None:
        self._recorder = recorder
        self._backend = backend
        self._step = step

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        return await self._recorder.chat_with(self._backend, request, relay, self._step)

    def through(self, backend: Backend, step: str) -> "StepClient":
        return StepClient(self._recorder, backend, step)

    def record_cold_start(self, duration_ns: int) -> None:
        self._recorder.record_cold_start(duration_ns)

    async def hold(self, resource: AbstractAsyncContextManager[Held]) -> Held:
        return await self._recorder.hold(resource)

    def observe(self, call: ToolCall) -> None:
        self._recorder.observe(call)


def _marked(call: ModelCall, step: str) -> ModelCall:
    return replace(call, request={**call.request, STEP: step}) if step else call


def _began(step: Step) -> int:
    return step.sent_at if isinstance(step, ModelCall) else step.started_at


def _failed(request: ChatRequest, intended_at: int, error: BaseException | None) -> ModelCall:
    """The part of a call that took place; without an error, the call is still running at the attempt's end."""
    message = str(error) if isinstance(error, AttemptError) else "cancelled: the caller disconnected or timed out"
    if isinstance(error, BrokenOff | CutOff):
        return replace(error.call, error=message)
    return ModelCall(
        messages=request.messages,
        request={"seed": request.seed},
        reply={"role": "assistant", "content": None},
        finish_reason=None,
        intended_at=intended_at,
        sent_at=intended_at,
        ended_at=perf_counter_ns(),
        error=message,
    )


def _as_object(arguments: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(arguments, Mapping):
        return arguments
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}
