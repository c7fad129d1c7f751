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
"""How long a call waits for its refusal when the attempt is over: whoever makes it may do so for ever."""


class Recorder:
    """Stands between an agent and its backend and tools; both seams in one, so that steps keep their order.

    The steps so far outlive an agent that raises, times out or is cancelled. A framework may catch what a failed
    call raises and go on, or raise something of its own: `broken` keeps why a call failed.
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
        """What ends the attempt whatever its agent makes of it: a limit that was exceeded, a tool that broke, or a
        model call that the server failed and no later one made good."""
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
        """The answer of this backend; `step` names the agent's step whose own it is."""
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
            error=str(error) if isinstance(error, AttemptError) else "cut off: the attempt ended while it ran",
        )

    @contextmanager
    def _recorded(self, failed: Callable[[BaseException | None], Step]) -> Iterator[None]:
        """A step that is recorded as failed when it breaks, is cut off, or has not ended when the attempt has."""
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
        """Leave what is held; the attempt is over."""
        await self._held.aclose()

    def close(self) -> int:
        """The attempt is over, now or since the first such call (`perf_counter_ns`).

        An agent that was left behind may go on, but is answered nothing any more, and what it still waits for is
        cancelled.
        """
        if self._closed_at is None:
            self._closed_at = perf_counter_ns()
            for flight in self._in_flight:
                flight.task.cancel()
        return self._closed_at

    def observe(self, call: ToolCall) -> None:
        """Once for each call: one that was made with our tools is known already, be it without its id, which
        the functions that a framework calls are not told."""
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
        """Raises when the attempt is over or `used` is over the limit, and remembers it: an agent can't swallow that.

        An agent that swallows it may ask again at once, and for ever: the loop has to come to others between.
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
    """What it took for certain: a server that doesn't count tokens sent at least one in each chunk."""
    answered = sum(call.chunk_tokens) if call.completion_tokens is None else call.completion_tokens
    return (call.prompt_tokens or 0) + answered


@dataclass(frozen=True, slots=True)
class _Flight:
    """A step that goes on: whose task it is, and what is recorded of it when it does not end well."""

    task: asyncio.Task[Any]
    failed: Callable[[BaseException | None], Step]


class StepClient:
    """Implements `ChatClient` for a step of the agent that has a model of its own; the attempt's record is one."""

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
    """The call as far as it came; without an error it goes on while the attempt ends."""
    said = str(error) if isinstance(error, AttemptError) else "cancelled: whoever asked went away or ran out of time"
    if isinstance(error, BrokenOff | CutOff):
        return replace(error.call, error=said)
    return ModelCall(
        messages=request.messages,
        request={"seed": request.seed},
        reply={"role": "assistant", "content": None},
        finish_reason=None,
        intended_at=intended_at,
        sent_at=intended_at,
        ended_at=perf_counter_ns(),
        error=said,
    )


def _as_object(arguments: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(arguments, Mapping):
        return arguments
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}
