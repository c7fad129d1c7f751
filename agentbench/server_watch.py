"""What the run's server said to all of a run: to wait, or that it answers none of it."""

from collections.abc import Callable
from time import monotonic

from agentbench.errors import ServerRefused, UserError
from agentbench.protocols import Backend, ChatRequest, Relay
from agentbench.trace import ModelCall

STRIKES = 3
"""Refusals without an answer between them that end a run whose server has answered before: one may be a prompt's."""


class ServerWatch:
    """Sees every call of a run; one for all its attempts."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._not_before = 0.0
        self._has_answered = False
        self._refusals: list[ServerRefused] = []

    def over(self, backend: Backend) -> "WatchedBackend":
        return WatchedBackend(backend, self)

    def answered(self) -> None:
        self._has_answered = True
        self._refusals.clear()

    def refused(self, refusal: ServerRefused) -> None:
        if refusal.is_for_all:
            self._refusals.append(refusal)
        if refusal.retry_after_s is not None:
            self._not_before = max(self._not_before, self._clock() + refusal.retry_after_s)

    def wait_s(self) -> float:
        """How long the server asks to be left alone from now on."""
        return max(0.0, self._not_before - self._clock())

    def is_in_vain(self, message: str) -> bool:
        """Whether what failed with this message would fail again."""
        return any(str(refusal) in message for refusal in self._refusals)

    def require_answers(self) -> None:
        """`UserError` when the server refuses every request: those since its last answer, or the first of all."""
        if self._refusals and (not self._has_answered or len(self._refusals) >= STRIKES):
            raise UserError(
                f"the model server refuses the run's requests: {self._refusals[-1]}. Check its address, its key"
                " (serving.api_key_env) and serving.model"
            )


class WatchedBackend:
    """Implements `Backend` by another, under the eyes of a `ServerWatch`."""

    def __init__(self, backend: Backend, watch: ServerWatch) -> None:
        self._backend = backend
        self._watch = watch
        self.needs_server = backend.needs_server

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        try:
            call = await self._backend.chat(request, relay)
        except ServerRefused as refusal:
            self._watch.refused(refusal)
            raise
        self._watch.answered()
        return call

    async def aclose(self) -> None:
        await self._backend.aclose()
