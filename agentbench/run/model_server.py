"""Model servers and their backends, each open until a context ends."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from agentbench.core.protocols import Backend, Endpoint, Server
from agentbench.suite import registry
from agentbench.suite.config import Component

LOGS = Path("results") / "logs"


@asynccontextmanager
async def running(server: Server, log_path: Path) -> AsyncIterator[Endpoint]:
    """Starts the server and stops it at the end, also when it failed to start."""
    try:
        yield await server.start(log_path)
    finally:
        await server.stop()


@asynccontextmanager
async def opened_backend(
    component: Component, endpoint: Endpoint | None, prefix: Sequence[str] = ()
) -> AsyncIterator[Backend]:
    """The backend, connected to `endpoint`; `prefix` is the path of its options, for messages."""
    backend: Backend = registry.build("backends", component, endpoint, prefix=tuple(prefix))
    try:
        yield backend
    finally:
        await backend.aclose()


def server_of(backend: Component, serving: Component, prefix: Sequence[str] = ()) -> Server | None:
    """The server of this backend, not started; None when it needs none."""
    if not registry.resolve("backends", backend.name).needs_server:
        return None
    server: Server = registry.build("servers", serving, prefix=tuple(prefix))
    return server


@asynccontextmanager
async def opened_model(serving: Component | None, backend: Component | None, role: str) -> AsyncIterator[Backend]:
    """A model beside the run's own: its backend, and its server if it needs one. `role` names the server's log."""
    component = backend or Component(name="openai_http")
    server = server_of(component, serving or Component(name="bundled"))
    async with AsyncExitStack() as stack:
        endpoint = None
        if server is not None:
            endpoint = await stack.enter_async_context(running(server, LOGS / f"{role}.server.log"))
        yield await stack.enter_async_context(opened_backend(component, endpoint))
