"""The `mcp` tool source: the tools of an MCP server, which is a process that agentbench starts, or a URL."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.core.case import Case, ToolSpec
from agentbench.core.errors import AttemptError, UserError
from agentbench.credentials import StorableUrl
from agentbench.environment import variable
from agentbench.tools.mcp_connection import McpConnection

LOGS = Path("results") / "logs"
RESTARTS = 5
"""Most restarts of a run's server without an answered call in between; after that, attempts fail."""


class McpConfig(BaseModel):
    """Options of the `mcp` tool source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: tuple[str, ...] = Field((), description="The server's command and arguments; it talks over stdio.")
    env: Mapping[str, str] = Field(default_factory=dict, description="Added to the server's environment.")
    url: StorableUrl | None = Field(
        None, pattern=r"^https?://", description="The URL of a server with streamable HTTP, instead of a command."
    )
    headers_env: Mapping[str, str] = Field(
        default_factory=dict, description="Header to the environment variable that holds its value (url only)."
    )
    scope: Literal["run", "attempt"] = Field("run", description="Connected once a run, or anew for each attempt.")
    include: tuple[str, ...] = Field(("*",), description="Names of tools offered; * and ? stand for any text.")
    exclude: tuple[str, ...] = ()
    prefix: str = Field("", description="Put before each tool's name.")
    startup_timeout_s: float = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _one_way(self) -> "McpConfig":
        if bool(self.command) == bool(self.url):
            raise ValueError("give either command or url")
        return self

    @property
    def shown(self) -> str:
        return self.url or " ".join(self.command)


class McpSource:
    """Connects to the server once per run, or once per attempt.

    A server that dies during the run is restarted for later attempts; the attempts that used it end in tool failures.
    The source always connects once at the start, so that an unusable server is reported before the run.
    """

    Config = McpConfig
    names: tuple[str, ...]
    """The server's tools, available after entering."""

    def __init__(self, config: McpConfig, root: Path) -> None:
        self._config = config.model_copy(update={"command": located(config.command, root)})
        self._shared: McpConnection | None = None
        self._starting = asyncio.Lock()
        self._starts = 0

    async def __aenter__(self) -> Self:
        try:
            connection = await self._connected()
        except AttemptError as error:
            raise UserError(str(error)) from None
        self.names = tuple(spec.name for spec in McpSession(connection, self._config).specs)
        if self._config.scope == "run":
            self._shared = connection
        else:
            await connection.aclose()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shared is not None:
            await self._shared.aclose()

    @asynccontextmanager
    async def session(self, case: Case) -> AsyncIterator["McpSession"]:
        async with AsyncExitStack() as stack:
            if self._config.scope == "attempt":
                connection = await self._connected()
                stack.push_async_callback(connection.aclose)
            else:
                connection = await self._alive()
            yield McpSession(connection, self._config)

    async def _alive(self) -> McpConnection:
        async with self._starting:
            assert self._shared is not None, "the source is entered before its sessions"
            with suppress(AttemptError):
                await self._shared.check()
            if self._shared.broken:
                if self._shared.served:
                    self._starts = 1
                if self._starts > RESTARTS:
                    raise AttemptError("tool", f"the MCP server {self._config.shown} died {self._starts} times")
                await self._shared.aclose()
                self._shared = await self._connected()
            return self._shared

    async def _connected(self) -> McpConnection:
        self._starts += 1
        config = self._config
        headers = {name: _secret(name, of) for name, of in config.headers_env.items()}
        log = LOGS / f"mcp.{Path(config.command[0]).name}.log" if config.command else None
        connection = McpConnection(config.command, config.env, config.url, headers, log)
        try:
            async with asyncio.timeout(config.startup_timeout_s):
                await connection.open()
        except BaseException as error:  # a cancellation too: nothing else would stop the server
            await connection.aclose()
            if not isinstance(error, TimeoutError):
                raise
            why = f"did not answer within {config.startup_timeout_s:g} s"
            raise AttemptError("tool", f"the MCP server {config.shown} {why}") from None
        return connection


class McpSession:
    """Implements `ToolSession` over a connection; the server's state is not accessible."""

    def __init__(self, connection: McpConnection, config: McpConfig) -> None:
        self._connection = connection
        self._prefix = config.prefix
        self.specs = tuple(
            ToolSpec(name=config.prefix + tool.name, description=tool.description, parameters=tool.parameters)
            for tool in connection.tools
            if _matches(tool.name, config.include) and not _matches(tool.name, config.exclude)
        )

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        _require_unicode(arguments)
        return await self._connection.call(name.removeprefix(self._prefix), arguments)

    async def check(self) -> None:
        await self._connection.check()

    async def state(self) -> None:
        return None


def _require_unicode(arguments: Mapping[str, Any]) -> None:
    """The connection would end at what UTF-8 has no bytes for: half of a surrogate pair, which a model can escape."""
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the arguments have an unpaired surrogate, {error.object[error.start]!a}; write text"
        ) from None


def located(command: tuple[str, ...], root: Path) -> tuple[str, ...]:
    """The command with paths resolved for files in the suite's directory; its program only if written as a path."""
    return tuple(_located(part, root, is_program=number == 0) for number, part in enumerate(command))


def _located(part: str, root: Path, *, is_program: bool) -> str:
    """Links are not followed: a virtual environment's Python is a link, and finds its packages by its own path."""
    is_path = "/" in part or ("." in part and not is_program)
    if not is_path or Path(part).is_absolute() or not _is_file(root / part):
        return part
    return str((root / part).absolute())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text that can't be a file name
        return False


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _secret(header: str, name: str) -> str:
    value = variable(name)
    if value is None:
        raise UserError(f"tools: headers_env.{header} names {name}, which is not set; export it")
    return value
