"""The HTTP server, until a stop signal."""

import asyncio
import math
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from serving.http.connection import MAX_HEAD_BYTES, connections
from serving.http.drain import Drain
from serving.http.limits import HttpLimits

# How long clients have, after the drain, to read that their requests were given up.
LAST_WORDS_S = 2
# Longer than clients keep an idle connection (httpx: 5), which so never reuse one that is being closed.
KEEP_ALIVE_S = 30


def run_http_server(
    app: ASGIApp,
    listener: socket.socket,
    announcement: str,
    *,
    limits: HttpLimits,
    drain: Drain,
    give_up: Callable[[], None],
    log_level: str,
) -> None:
    """Serve until SIGTERM or SIGINT; then accept no connection, and let running requests end.

    `give_up` is called, in a thread, when the drain is over and requests still run: it ends them.
    Prints `announcement` when it answers.
    """
    config = uvicorn.Config(
        app,
        http=connections(limits),
        ws="none",
        log_level=log_level,
        access_log=False,  # serving.http.access_log
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(drain.seconds) + LAST_WORDS_S,
        lifespan="on",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _already_stopped)
    _Server(config, announcement, drain, give_up).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, announcement: str, drain: Drain, give_up: Callable[[], None]) -> None:
        super().__init__(config)
        self._announcement = announcement
        self._drain = drain
        self._give_up = give_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._announcement, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._drain.begin()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        giving_up = asyncio.ensure_future(self._give_up_later())
        try:
            await super().shutdown(sockets)
        finally:
            giving_up.cancel()

    async def _give_up_later(self) -> None:
        await asyncio.sleep(self._drain.seconds)
        await asyncio.to_thread(self._give_up)


def _already_stopped(number: int, frame: FrameType | None) -> None:
    """Uvicorn, when it is done, raises the signal that stopped it again: the exit code is 0 all the same."""
