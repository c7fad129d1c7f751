"""One request on its way through the engine, as seen from the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from serving.engine_port import Engine
from serving.preparation import Prepared
from serving.request import Request, TokenDelta


class Generation:
    """Submits a request and yields what it generates. `close` is due on every path: it ends the work for
    a client that is gone, and does nothing after the last delta."""

    def __init__(self, engine: Engine, id: str, prepared: Prepared) -> None:
        self._engine = engine
        self._id = id
        self._deltas: asyncio.Queue[TokenDelta] = asyncio.Queue()  # max_tokens bounds it
        self._ended = False
        request = Request(
            id=id,
            prompt_ids=prepared.prompt_ids,
            params=prepared.params,
            constraint=prepared.constraint,
            on_delta=_into_loop(self._deltas.put_nowait),
            arrived_at=time.monotonic(),
        )
        engine.submit(request)

    async def deltas(self) -> AsyncIterator[TokenDelta]:
        while not self._ended:
            delta = await self._deltas.get()
            self._ended = delta.finish_reason is not None
            yield delta

    def close(self) -> None:
        if not self._ended:
            self._engine.abort(self._id)
            self._ended = True


def _into_loop(put: Callable[[TokenDelta], None]) -> Callable[[TokenDelta], None]:
    """`put`, called from the engine's thread, runs in the loop of the caller of this function."""
    loop = asyncio.get_running_loop()

    def on_delta(delta: TokenDelta) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(put, delta)

    return on_delta
