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
"""Seconds in which a live server answers GET /models; one that does not is taken for dead."""

AWAY = (502, 503, 504)
"""HTTP statuses of a gateway whose server does not answer."""


class LiveHost:
    """Runs at most one server at a time.

    `reached` has the `served` hash of each configuration whose server was reached.
    """

    def __init__(self, study: str) -> None:
        self.log_path = Path("results") / "logs" / f"study-{study}.server.log"
        self._served = ""
        self._stack = AsyncExitStack()
        self._backend: Backend | None = None
        self.endpoint: Endpoint | None = None
        self.reached: set[str] = set()

    async def backend(self, configuration: Configuration) -> Backend:
        """A backend of the configuration's server, started if needed; `Broken` when it does not start."""
        if self._backend is None or self._served != configuration.served:
            await self.rest()
            self._backend = await self._start(configuration)
            self._served = configuration.served
            self.reached.add(configuration.served)
        return self._backend

    async def _start(self, configuration: Configuration) -> Backend:
        suite = configuration.suite
        try:
            self.endpoint = await self._stack.enter_async_context(started_server(suite, self.log_path))
        except UserError as error:
            raise Broken(str(error)) from error
        return await self._stack.enter_async_context(suite_backend(suite, self.endpoint))

    async def ask(self, configuration: Configuration, request: ChatRequest) -> str:
        """The model's answer to a request outside any attempt. A server that dies of it is stopped, so that the next
        request starts a new one. Raises `Broken` when the server does not start, `AttemptError` when it does not
        answer.
        """
        backend = await self.backend(configuration)
        try:
            return (await backend.chat(request)).text
        except AttemptError:
            if not await self.is_alive():
                await self.rest()
            raise

    async def is_alive(self) -> bool:
        """Whether the server answers; True when none is needed."""
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
        """Stops the server; the next request for a backend starts one."""
        stack, self._stack = self._stack, AsyncExitStack()
        self._backend, self.endpoint, self._served = None, None, ""
        await stack.aclose()
