"""Runs the gateway as a server in the run's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

from agentbench.core.protocols import ChatClient
from agentbench.gateway.route import ObservedCalls, Route

if TYPE_CHECKING:
    import uvicorn

MODEL = "agentbench"
"""The name of the run's model at the gateway; any other name means it too."""

LAST_ANSWERS_S = 1.0
"""How long the answers that are being sent may still take at the end. The calls have ended by then."""


class Gateway:
    """Listens on a free loopback port between enter and exit; `route` opens an address for one attempt."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._observed: WeakKeyDictionary[ChatClient, ObservedCalls] = WeakKeyDictionary()
        self._origin = ""
        self._ending = asyncio.Event()
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._ending = asyncio.Event()
        listener = _listener()
        self._origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = _server(self._routes, self._ending)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        try:
            await self._begun()
        except asyncio.CancelledError as cancelled:
            await self.__aexit__(type(cancelled), cancelled, cancelled.__traceback__)
            raise
        return self

    async def _begun(self) -> None:
        """uvicorn closes its sockets only where it had begun to serve."""
        assert self._server is not None
        assert self._serving is not None
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._serving is not None
        for route in list(self._routes.values()):
            await route.close()
        await self._begun()
        self._ending.set()
        await self._serving

    @asynccontextmanager
    async def route(self, client: ChatClient) -> AsyncIterator[Route]:
        """An address whose calls `client` makes. After the block it answers 410, and running calls are cancelled.

        A client's later routes (the turns of a conversation) remember the tool calls that its earlier ones recorded.
        """
        observed = self._observed.setdefault(client, ObservedCalls())
        route = Route(client=client, observed=observed, origin=self._origin, model=MODEL)
        self._routes[route.token] = route
        try:
            yield route
        finally:
            del self._routes[route.token]
            await route.close()


def _listener() -> socket.socket:
    """A listening socket on a free loopback port.

    asyncio disables Nagle's algorithm (TCP_NODELAY) only for a socket with an explicit protocol number. Without it, the
    end of an answer would wait 40 ms for the client's delayed acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    return listener


def _server(routes: Mapping[str, Route], ending: asyncio.Event) -> "uvicorn.Server":
    # Imported here, since most runs have no gateway.
    import uvicorn

    from agentbench.gateway.app import gateway_app

    class Quiet(uvicorn.Server):
        """Installs no signal handlers, since the signals belong to the run, and ends without fixed waits."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def main_loop(self) -> None:
            await ending.wait()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for server in self.servers:
                server.close()
            for connection in list(self.server_state.connections):
                connection.shutdown()
            tasks = list(self.server_state.tasks)
            if tasks:
                _, running = await asyncio.wait(tasks, timeout=LAST_ANSWERS_S)
                for task in running:
                    task.cancel()

    config = uvicorn.Config(
        gateway_app(routes),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        date_header=False,
        timeout_keep_alive=75,
    )
    return Quiet(config)
