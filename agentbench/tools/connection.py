"""A connection to an MCP server, held by a task of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentbench.case import ToolSpec
from agentbench.environment import with_variables
from agentbench.errors import AttemptError, UserError
from agentbench.extras import install_hint

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult


class McpConnection:
    """Opened and closed in one task, as the SDK asks; calls may come from any, and many at once.

    `broken` once the server has gone. What the server says on standard error is in `log`.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        env: Mapping[str, str],
        url: str | None,
        headers: Mapping[str, str],
        log: Path | None,
    ) -> None:
        self._command = command
        self._env = env
        self._url = url
        self._headers = headers
        self._log = log
        self._client: Client | None = None
        self._opened: asyncio.Future[None] | None = None
        self._closing = asyncio.Event()
        self._holding: asyncio.Task[None] | None = None
        self._tools: list[ToolSpec] | None = None
        self.broken = False

    async def open(self) -> None:
        """`AttemptError` when the server does not start or answer."""
        self._opened = asyncio.get_running_loop().create_future()
        self._holding = asyncio.create_task(self._hold())
        await self._opened

    async def _hold(self) -> None:
        assert self._opened is not None
        try:
            async with self._connected() as client:
                self._client = client
                if not self._opened.done():
                    self._opened.set_result(None)
                await self._closing.wait()
        # Whatever the SDK raises, in groups or alone, means that there is no server any more.
        except Exception as error:
            self.broken = True
            if not self._opened.done():
                self._opened.set_exception(AttemptError("tool", self._why("can't be used", error)))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["Client"]:
        try:
            from mcp import Client, StdioServerParameters
            from mcp.client.stdio import stdio_client
            from mcp.client.streamable_http import streamable_http_client
        except ImportError:
            raise UserError(f"MCP servers need the package mcp: {install_hint('mcp')}") from None
        async with AsyncExitStack() as stack:
            if self._url is not None:
                import httpx2

                http = await stack.enter_async_context(httpx2.AsyncClient(headers=dict(self._headers), timeout=None))
                transport = streamable_http_client(self._url, http_client=http)
            else:
                assert self._log is not None
                self._log.parent.mkdir(parents=True, exist_ok=True)
                errors = stack.enter_context(self._log.open("a", encoding="utf-8"))
                program, *arguments = self._command
                parameters = StdioServerParameters(command=program, args=arguments, env=with_variables(**self._env))
                transport = stdio_client(parameters, errlog=errors)
            yield await stack.enter_async_context(Client(transport))

    async def tools(self) -> list[ToolSpec]:
        """What the server offers, asked for once."""
        if self._tools is None:
            found: list[ToolSpec] = []
            cursor: str | None = None
            while True:
                listed = await self._asked(self._client_or_broken().list_tools(cursor=cursor))
                found += [
                    ToolSpec(name=tool.name, description=tool.description or "", parameters=tool.input_schema)
                    for tool in listed.tools
                ]
                cursor = listed.next_cursor
                if not cursor:
                    break
            self._tools = found
        return self._tools

    async def call(self, name: str, arguments: Mapping[str, Any]) -> "CallToolResult":
        result: CallToolResult = await self._asked(self._client_or_broken().call_tool(name, dict(arguments)))
        return result

    def _client_or_broken(self) -> "Client":
        if self._client is None or self.broken:
            raise AttemptError("tool", self._why("has died"))
        return self._client

    async def _asked(self, work: Any) -> Any:
        """The server's answer. One that says no is the tool's error; no answer at all is a broken server."""
        from mcp import MCPError

        try:
            return await work
        except MCPError as error:
            if error.code not in CLOSED:
                raise
            self.broken = True
            raise AttemptError("tool", self._why("died", error)) from None
        except (OSError, ValueError) as error:
            self.broken = True
            raise AttemptError("tool", self._why("died", error)) from None
        except Exception as error:
            # anyio's closed and broken streams have no common base; what else the SDK raises is the call's error.
            if type(error).__module__.startswith("anyio"):
                self.broken = True
                raise AttemptError("tool", self._why("died", error)) from None
            raise

    def _why(self, what: str, error: BaseException | None = None) -> str:
        server = self._url or " ".join(self._command)
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        said = f": {str(error) or type(error).__name__}" if error else ""
        return f"the MCP server {server} {what}{said}{self._last_words()}"

    def _last_words(self) -> str:
        if self._log is None or not self._log.exists():
            return ""
        lines = [line.strip() for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines()]
        last = next((line for line in reversed(lines) if line), "")
        return f"; it said {last!r:.200} (log: {self._log})" if last else f" (log: {self._log})"

    async def aclose(self) -> None:
        """Closes it, the server process with it; safe to call twice."""
        self._closing.set()
        self.broken = True
        if self._holding is not None:
            if self._client is None:
                self._holding.cancel()
            await asyncio.gather(self._holding, return_exceptions=True)


CLOSED = (-32000, -32001)
"""The SDK's codes for a connection that is closed, and for no answer in time."""
