"""Records what one attempt does while it does it, and holds it to its limits."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from time import perf_counter_ns
from typing import Any

from agentbench.case import Message, ToolSpec
from agentbench.config import Limits
from agentbench.errors import AttemptError
from agentbench.protocols import Backend, ChatRequest, Held, Relay, Toolbox
from agentbench.trace import STEP, ModelCall, Step, ToolCall, Trace, UserTurn


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
        self._hold("model_calls", self._models_started)
        self._hold("tokens", self._tokens)
        seeded = request.with_seed(self._seed)
        intended_at = perf_counter_ns()
        try:
            call = _marked(await backend.chat(seeded, relay), step)
        except AttemptError as error:
            self._unanswered = error if error.kind == "infra" else None
            self._steps.append(_marked(_failed(seeded, intended_at, error), step))
            raise
        except asyncio.CancelledError:
            gone = "cancelled: whoever asked went away or ran out of time"
            self._steps.append(_marked(_failed(seeded, intended_at, gone), step))
            raise
        self._unanswered = None
        self._tokens += (call.prompt_tokens or 0) + (call.completion_tokens or 0)
        self._steps.append(call)
        return call

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        self._tools_started += 1
        self._hold("tool_calls", self._tools_started)
        try:
            call = await self._tools.call(name, arguments, call_id)
        except AttemptError as error:
            self._ended = error
            raise
        self._steps.append(call)
        self._unobserved.append(call)
        return call

    async def hold(self, resource: AbstractAsyncContextManager[Held]) -> Held:
        return await self._held.enter_async_context(resource)

    async def release(self) -> None:
        """Leave what is held; the attempt is over."""
        await self._held.aclose()

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
        steps = tuple(sorted(self._steps, key=_began))
        return Trace(steps=steps, output=output, state=state, cold_start_ns=self._cold_start_ns)

    def _hold(self, limit: str, used: int) -> None:
        """Raises when `used` is over the limit, and remembers it: an agent can't swallow that."""
        most = getattr(self._limits, limit)
        if most is not None and used > most:
            self._ended = AttemptError("budget", f"more than run.limits.{limit}={most}")
            raise self._ended


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


def _failed(request: ChatRequest, intended_at: int, error: AttemptError | str) -> ModelCall:
    return ModelCall(
        messages=request.messages,
        request={"seed": request.seed},
        reply={"role": "assistant", "content": None},
        finish_reason=None,
        intended_at=intended_at,
        sent_at=intended_at,
        ended_at=perf_counter_ns(),
        error=str(error),
    )
