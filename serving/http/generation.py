"""A request's generation as the event loop sees it: deltas come from the engine's thread."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from serving.core import Request, TokenDelta
from serving.http.metrics import Metrics
from serving.http.usage import RequestUsage
from serving.openai.ports import Engine
from serving.openai.prepare import PreparedRequest

Receive = Callable[[tuple[TokenDelta, float]], None]
"""Takes a delta and the time when the engine sent it, in seconds of `time.monotonic`."""


class DeltaRelay:
    """Passes deltas from the engine's thread to the event loop, with the time when each was sent.

    Waking the loop costs a system call, so one wake-up delivers all pending deltas, usually those of one step.
    """

    def __init__(self) -> None:
        self._pending: deque[tuple[Receive, TokenDelta, float]] = deque()
        self._wakeup_scheduled = False

    def to_loop(self, receive: Receive) -> Callable[[TokenDelta], None]:
        """A function for the engine's thread. The running loop calls `receive` for every delta passed to it."""
        loop = asyncio.get_running_loop()

        def on_delta(delta: TokenDelta) -> None:
            if loop.is_closed():
                return
            self._pending.append((receive, delta, time.monotonic()))
            if not self._wakeup_scheduled:
                self._wakeup_scheduled = True
                loop.call_soon_threadsafe(self._deliver)

        return on_delta

    def _deliver(self) -> None:
        # Reset the flag first: a delta that is appended from now on is delivered here or schedules a new wake-up.
        self._wakeup_scheduled = False
        while self._pending:
            receive, delta, at = self._pending.popleft()
            receive((delta, at))


class Generation:
    """Submits a request to the engine and yields its deltas. The constructor raises what `Engine.submit` raises.

    The caller must call `close` in every case: it aborts an unfinished request and records the request's metrics.
    """

    def __init__(
        self, engine: Engine, relay: DeltaRelay, metrics: Metrics, id: str, prepared: PreparedRequest, started_at: float
    ) -> None:
        self.usage = RequestUsage(prepared.params.n, started_at)
        self._engine = engine
        self._metrics = metrics
        self._id = id
        self._closed = False
        # max_tokens bounds the queue: for a slow client it holds at most the whole answers.
        self._deltas: asyncio.Queue[tuple[TokenDelta, float]] = asyncio.Queue()
        request = Request(
            id=id,
            prompt_ids=prepared.prompt_ids,
            params=prepared.params,
            constraint=prepared.constraint,
            on_delta=relay.to_loop(self._deltas.put_nowait),
            arrived_at=time.monotonic(),
        )
        engine.submit(request)

    @property
    def has_pending_delta(self) -> bool:
        """Whether `deltas` can yield without waiting."""
        return not self._deltas.empty()

    async def deltas(self) -> AsyncIterator[TokenDelta]:
        """The deltas of all answers, in order of arrival, until the request has finished. Updates `usage`."""
        while not self.usage.is_finished:
            delta, at = await self._deltas.get()
            seconds = self.usage.add(delta, at)
            if seconds is not None:
                self._metrics.observe_inter_token(seconds, len(delta.token_ids))
            yield delta

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not all(self.usage.finish_reasons):
            self._engine.abort(self._id)
        self._metrics.observe_request(self.usage, time.monotonic())
