"""A connection to an MCP server, held by a task of its own, and the conversion of a tool's result to text."""

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agentbench.core.case import ToolSpec
from agentbench.core.errors import AttemptError, UserError
from agentbench.environment import with_variables
from agentbench.extras import install_hint

if TYPE_CHECKING:
    from mcp import Client, MCPError
    from mcp.client._transport import TransportStreams
    from mcp.types import CallToolResult


def result_text(result: "CallToolResult", misfit: str = "") -> str:
    """The result's blocks as text, one below the other; structured content when there are no blocks.

    `misfit` is the reason why the result fails its tool's outputSchema; it is appended to the text.
    """
    parts = [_block_text(block) for block in result.content]
    if not parts and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return "\n".join([*parts, *([f"[not as the tool's outputSchema says: {misfit}]"] if misfit else [])])


def _block_text(block: "ContentBlock") -> str:
    """The text of a block, embedded resources included; a link gives its address, any other block its type."""
    if block.type == "text":
        return block.text
    if block.type == "resource":
        found = getattr(block.resource, "text", None)
        return found if found is not None else f"[resource {block.resource.uri}]"
    if block.type == "resource_link":
        described = f": {block.description}" if block.description else ""
        return f"[{block.title or block.name}]({block.uri}){described}"
    return f"[{block.type}]"


def invalid_result(error: ValidationError) -> str:
    """Why a server's answer is not a valid result of the protocol, in one line."""
    findings = error.errors(include_url=False)
    if any(_asks_for_input(finding["input"]) for finding in findings):
        return "the server asks for more input, which is not supported here"
    finding = findings[0]
    place = ".".join(str(part) for part in finding["loc"])
    return f"the server's answer is not valid MCP: {place}: {finding['msg']}" if place else finding["msg"]


def _asks_for_input(value: Any) -> bool:
    return isinstance(value, dict) and value.get("resultType") == "input_required"


CUT_OFF = "SSE stream "
"""Start of the SDK's error for an interrupted HTTP answer; its code is no proof, since a server may use it too."""

PROBE_S = 5.0
"""Time limit for a possibly stuck server to list its tools."""

MOST_PAGES = 1000
CLOSE_S = 10.0
LOG_TAIL = 2**16
"""Bytes at the end of the server's log to search for its last message."""

Answer = TypeVar("Answer")


class McpToolError(Exception):
    """The tool failed, or the server gave no valid result; the message is for the agent."""


class McpConnection:
    """One task opens and closes it, as the SDK requires; any task may make calls, also concurrently.

    `tools` are the server's tools. `broken` is set once the server is gone, has ended the session or stopped
    responding; `served` once it answered a call. The server's standard error goes to `log`.
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
        self._mark: str | None = None
        self._opened: asyncio.Future[None] | None = None
        self._closing = asyncio.Event()
        self._holding: asyncio.Task[None] | None = None
        self._in_doubt = False
        self._failure: str | None = None
        self.tools: tuple[ToolSpec, ...] = ()
        self.broken = False
        self.served = False

    async def open(self) -> None:
        """Raises `AttemptError` when the server does not start, does not respond or does not list its tools."""
        self._opened = asyncio.get_running_loop().create_future()
        self._holding = asyncio.create_task(self._hold())
        await self._opened
        self.tools = tuple(await self._listed())

    async def _hold(self) -> None:
        assert self._opened is not None
        try:
            async with self._connected() as client:
                self._client = client
                if not self._opened.done():
                    self._opened.set_result(None)
                await self._closing.wait()
        # Any exception of the SDK, grouped or single, means that the server is gone.
        except Exception as error:
            self.broken = True
            if not self._opened.done():
                self._opened.set_exception(AttemptError("tool", self._why("can't be used", error)))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["Client"]:
        try:
            from mcp import Client

            from agentbench.tools.mcp_transport import watched
        except ImportError:
            raise UserError(f"MCP servers need the package mcp: {install_hint('mcp')}") from None
        async with AsyncExitStack() as stack:
            transport = await self._transport(stack)
            yield await stack.enter_async_context(Client(watched(transport, self._end)))

    async def _transport(self, stack: AsyncExitStack) -> "AbstractAsyncContextManager[TransportStreams]":
        from mcp.client.streamable_http import streamable_http_client

        from agentbench.tools.mcp_transport import McpHttpClient, stdio_transport

        if self._url is not None:
            http = await stack.enter_async_context(McpHttpClient(dict(self._headers)))
            self._mark = http.mark
            return streamable_http_client(self._url, http_client=http)
        assert self._log is not None
        self._log.parent.mkdir(parents=True, exist_ok=True)
        errors = stack.enter_context(self._log.open("a", encoding="utf-8"))
        return stdio_transport(self._command, with_variables(**self._env), errors, self._fail)

    def _end(self) -> None:
        self.broken = True

    def _fail(self, what: str) -> None:
        self._failure = what
        self.broken = True

    async def _listed(self) -> list[ToolSpec]:
        """All pages of the server's tools; a cursor that repeats means that the list has no end."""
        found: list[ToolSpec] = []
        cursors: list[str] = []
        while len(cursors) < MOST_PAGES:
            try:
                page = await self._answer_of(
                    self._client_or_broken().list_tools(cursor=cursors[-1] if cursors else None)
                )
            except AttemptError:
                raise
            # Whatever the error is, there are no tools to offer.
            except Exception as error:
                raise AttemptError("tool", self._why("can't list its tools", error)) from None
            found += [
                ToolSpec(name=tool.name, description=tool.description or "", parameters=tool.input_schema)
                for tool in page.tools
            ]
            if not page.next_cursor:
                return found
            if page.next_cursor in cursors:
                break
            cursors.append(page.next_cursor)
        raise AttemptError("tool", self._why(f"can't list its tools: no end after {len(cursors) + 1} pages"))

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result as text. Raises `McpToolError` when the tool failed, `AttemptError` when the server did."""
        from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult

        # Not `Client.call_tool`: it drops a result that fails its outputSchema.
        request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=dict(arguments)))
        try:
            result = await self._answer_of(self._client_or_broken().session.send_request(request, CallToolResult))
        except asyncio.CancelledError:
            self._in_doubt = True
            raise
        self.served = True
        if result.is_error:
            raise McpToolError(result_text(result))
        return result_text(result, await self._misfit(name, result))

    async def _misfit(self, name: str, result: "CallToolResult") -> str:
        """Why the result fails its tool's outputSchema; empty when it is valid."""
        try:
            await self._client_or_broken().session.validate_tool_result(name, result)
        except RuntimeError as error:
            return str(error).splitlines()[0]
        return ""

    def _client_or_broken(self) -> "Client":
        if self._client is None or self.broken:
            raise AttemptError("tool", self._why("has died"))
        return self._client

    async def _answer_of(self, work: Awaitable[Answer]) -> Answer:
        """The server's answer.

        An error response or an invalid result is the call's error; no answer means a broken server. The connection's
        state tells the two apart, since a server may use the SDK's error codes itself.
        """
        from mcp import MCPError

        try:
            return await work
        except ValidationError as error:
            raise McpToolError(invalid_result(error)) from None
        except MCPError as error:
            if self._is_gone(error):
                self.broken = True
                raise AttemptError("tool", self._failed(error)) from None
            raise
        # anyio's closed and broken streams have no common base class; other exceptions are raised again.
        except Exception as error:
            if self.broken:
                raise AttemptError("tool", self._why("died", error)) from None
            raise

    def _is_gone(self, error: "MCPError") -> bool:
        return self.broken or self._is_marked(error) or (self._url is not None and str(error).startswith(CUT_OFF))

    def _is_marked(self, error: "MCPError") -> bool:
        return self._mark is not None and error.data == self._mark

    def _failed(self, error: "MCPError") -> str:
        return self._why(str(error)) if self._is_marked(error) else self._why("died", error)

    async def _answers(self) -> bool:
        """Whether the server responds to a list of its tools within `PROBE_S`; an error response counts."""
        from mcp import MCPError

        try:
            async with asyncio.timeout(PROBE_S):
                await self._answer_of(self._client_or_broken().list_tools(cache_mode="bypass"))
        except (TimeoutError, AttemptError):
            return False
        except (MCPError, McpToolError):
            return True
        return True

    async def check(self) -> None:
        """`AttemptError` when the server, after a call that timed out, does not respond to anything else either."""
        if self._in_doubt and not self.broken and not await self._answers():
            self.broken = True
            raise AttemptError("tool", self._why(f"is stuck: it does not even list its tools within {PROBE_S:g} s"))
        self._in_doubt = False

    def _why(self, what: str, error: BaseException | None = None) -> str:
        server = self._url or " ".join(self._command)
        if self._failure is not None:
            what, error = self._failure, None
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        reason = f": {str(error) or type(error).__name__}" if error else ""
        return f"the MCP server {server} {what}{reason}{self._last_words()}"

    def _last_words(self) -> str:
        if self._log is None or not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - LOG_TAIL))
            lines = file.read().decode(errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"; it said {last!r:.200} (log: {self._log})" if last else f" (log: {self._log})"

    async def aclose(self) -> None:
        """Closes the connection and ends the server's process; safe to call twice."""
        self._closing.set()
        self.broken = True
        if self._holding is None:
            return
        if self._client is None:
            self._holding.cancel()
        # The SDK tells an HTTP server that the session ends; the server may never respond.
        await asyncio.wait([self._holding], timeout=CLOSE_S)
        self._holding.cancel()
        await asyncio.gather(self._holding, return_exceptions=True)
