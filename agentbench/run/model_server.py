"""A model beside the run's own: starts its server and opens its backend for the duration of a context."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agentbench.core.protocols import Backend, Endpoint, Server
from agentbench.suite import registry
from agentbench.suite.config import Component

LOGS = Path("results") / "logs"


@asynccontextmanager
async def opened_model(serving: Component | None, backend: Component | None, role: str) -> AsyncIterator[Backend]:
    """The backend, speaking to the server where it needs one; `role` names the server's log."""
    component = backend or Component(name="openai_http")
    needs_server = registry.resolve("backends", component.name).needs_server
    server: Server | None = registry.build("servers", serving or Component(name="bundled")) if needs_server else None
    try:
        endpoint: Endpoint | None = await server.start(LOGS / f"{role}.server.log") if server else None
        opened: Backend = registry.build("backends", component, endpoint)
        try:
            yield opened
        finally:
            await opened.aclose()
    finally:
        if server is not None:
            await server.stop()
