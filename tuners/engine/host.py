"""Hosts a study's candidates: one model server, which stays up while its configuration stays the same."""

from contextlib import AsyncExitStack
from pathlib import Path

from agentbench.core.errors import AttemptError, UserError
from agentbench.core.protocols import Backend, ChatRequest, Endpoint
from agentbench.http.client import HttpClient, Target
from agentbench.http.exchange import Exchange
from agentbench.run.experiment import started_server, suite_backend
from tuners.search.evaluator import Broken
from tuners.space.configuration import Configuration

ALIVE_S = 10.0
"""A server that has not said in this time which models it has is taken for dead."""


AWAY = (502, 503, 504)
"""Statuses that say that nothing answers behind a gateway."""


class LiveHost:
    """At most one server at a time; `starts` counts how often one was started, `reached` has those that were there."""

    def __init__(self, study: str) -> None:
        self.log_path = Path("results") / "logs" / f"study-{study}.server.log"
        self._served = ""
        self._stack = AsyncExitStack()
        self._backend: Backend | None = None
        self.endpoint: Endpoint | None = None
        self.starts = 0
        self.reached: set[str] = set()

    async def backend(self, configuration: Configuration) -> Backend:
        """A backend of this configuration; `Broken` when its server does not start."""
        if self._backend is None or self._served != configuration.served:
            await self.rest()
            self._backend = await self._started(configuration)
            self._served = configuration.served
            self.reached.add(configuration.served)
        return self._backend

    async def _started(self, configuration: Configuration) -> Backend:
        suite = configuration.suite
        self.starts += 1
        try:
            self.endpoint = await self._stack.enter_async_context(started_server(suite, self.log_path))
        except UserError as error:
            raise Broken(str(error)) from error
        return await self._stack.enter_async_context(suite_backend(suite, self.endpoint))

    async def ask(self, configuration: Configuration, request: ChatRequest) -> str:
        """The answer of its model; it belongs to no attempt. A server that dies of it is stopped, so that the next
        candidate gets another."""
        backend = await self.backend(configuration)
        try:
            return (await backend.chat(request)).text
        except AttemptError:
            if not await self.is_alive():
                await self.rest()
            raise

    async def is_alive(self) -> bool:
        """Whether it still answers; where there is none, nothing is away."""
        if self.endpoint is None:
            return True
        target = Target(base_url=self.endpoint.base_url, api_key=self.endpoint.api_key)
        client = HttpClient(target, ALIVE_S)
        try:
            exchange = Exchange()
            await client.get("models", exchange)
            return not exchange.error and exchange.status not in AWAY
        finally:
            client.close()

    async def rest(self) -> None:
        """Stops the server, until one is needed again."""
        stack, self._stack = self._stack, AsyncExitStack()
        self._backend, self.endpoint, self._served = None, None, ""
        await stack.aclose()
