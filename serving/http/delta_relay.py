"""From the engine's thread to the event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from serving.request import TokenDelta

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
