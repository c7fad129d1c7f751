"""One request in the engine, seen from the event loop; its deltas cross over from the engine's thread."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from serving.core import Request, TokenDelta
from serving.http.metrics import Metrics
from serving.http.usage import Tally
from serving.openai.ports import Engine
from serving.openai.prepare import Prepared

Receive = Callable[[tuple[TokenDelta, float]], None]


class DeltaRelay:
    """Hands deltas over, with the time they came. One wake-up of the loop serves all that come close together,
    as those of one step do: waking it costs a system call."""

    def __init__(self) -> None:
        self._arrived: deque[tuple[Receive, TokenDelta, float]] = deque()
        self._on_its_way = False  # a wake-up

    def into_loop(self, receive: Receive) -> Callable[[TokenDelta], None]:
        """A function for the engine's thread; what it gets, `receive` gets in the running loop."""
        loop = asyncio.get_running_loop()

        def on_delta(delta: TokenDelta) -> None:
            if loop.is_closed():
                return
            self._arrived.append((receive, delta, time.monotonic()))
            if not self._on_its_way:
                self._on_its_way = True
                loop.call_soon_threadsafe(self._deliver)

        return on_delta

    def _deliver(self) -> None:
        # Before the first is taken: what is appended from now on either is taken here or wakes the loop again.
        self._on_its_way = False
        while self._arrived:
            receive, delta, at = self._arrived.popleft()
            receive((delta, at))


class Generation:
    """Submits a request and yields what it generates. `close` is due on every path: it ends the work for
    a client that is gone, and counts the request. Raises what `Engine.submit` raises."""

    def __init__(
        self, engine: Engine, relay: DeltaRelay, metrics: Metrics, id: str, prepared: Prepared, started_at: float
    ) -> None:
        self.tally = Tally(prepared.params.n, started_at)
        self._engine = engine
        self._metrics = metrics
        self._id = id
        self._closed = False
        # max_tokens of each answer bound it: a client that reads slowly holds no more than its answers.
        self._arrived: asyncio.Queue[tuple[TokenDelta, float]] = asyncio.Queue()
        request = Request(
            id=id,
            prompt_ids=prepared.prompt_ids,
            params=prepared.params,
            constraint=prepared.constraint,
            on_delta=relay.into_loop(self._arrived.put_nowait),
            arrived_at=time.monotonic(),
        )
        engine.submit(request)

    @property
    def pending(self) -> bool:
        """Whether the next delta is there already."""
        return not self._arrived.empty()

    async def deltas(self) -> AsyncIterator[TokenDelta]:
        """Of all answers, as they come, counted in `tally`; the last has a finish reason."""
        while not self.tally.ended:
            delta, at = await self._arrived.get()
            seconds = self.tally.add(delta, at)
            if seconds is not None:
                self._metrics.inter_token(seconds, len(delta.token_ids))
            yield delta

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not all(self.tally.finish_reasons):
            self._engine.abort(self._id)
        self._metrics.ended(self.tally, time.monotonic())
