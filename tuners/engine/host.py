"""Hosts a study's candidates: one model server, which stays up while its configuration stays the same."""

from contextlib import AsyncExitStack
from http import HTTPStatus
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
        self._run_id = ""
        self._stack = AsyncExitStack()
        self._backend: Backend | None = None
        self.endpoint: Endpoint | None = None
        self.reached: set[str] = set()

    async def backend(self, configuration: Configuration, run_id: str = "") -> Backend:
        """A backend of the configuration's server, started if needed; `Broken` when it does not start.

        For a run other than the last one, our own server forgets the prompts that it has computed, or is started again.
        With them, the run would be faster by what another candidate left behind. An external server can't be told to.
        """
        other_run = run_id not in ("", self._run_id) and not configuration.runs_elsewhere
        is_up = self._backend is not None and self._served == configuration.served
        if not is_up or (other_run and self._run_id and not await self._forgets()):
            await self.rest()
            self._backend = await self._start(configuration)
            self._served = configuration.served
            self.reached.add(configuration.served)
        self._run_id = run_id or self._run_id
        assert self._backend is not None
        return self._backend

    async def _forgets(self) -> bool:
        """Whether the server dropped its prefix cache; True when there is no server."""
        if self.endpoint is None:
            return True
        target = Target(base_url=self.endpoint.base_url.removesuffix("/v1"), api_key=self.endpoint.api_key)
        client = HttpClient(target, ALIVE_S)
        try:
            exchange = Exchange()
            await client.send(client.encode("reset_prefix_cache", {}), exchange)
            return not exchange.error and exchange.status == HTTPStatus.OK
        finally:
            client.close()

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
        self._backend, self.endpoint, self._served, self._run_id = None, None, "", ""
        await stack.aclose()
