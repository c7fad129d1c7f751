"""One request on its way through the engine, as seen from the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator

from serving.http.delta_relay import DeltaRelay
from serving.http.metrics import Metrics
from serving.http.usage import Tally
from serving.openai.ports import Engine
from serving.openai.prepare import Prepared
from serving.request import Request, TokenDelta


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
