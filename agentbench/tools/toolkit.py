"""The `toolkit` tool source: a class whose public methods are tools, with a fresh instance for each attempt.

An instance may run in a process of its own, with limits; calls then pass over pipes as a name and JSON arguments.
"""

import asyncio
import copy
import inspect
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.case import Case, ToolSpec
from agentbench.core.errors import AttemptError, UserError
from agentbench.environment import with_variables
from agentbench.processes import MarkedProcess
from agentbench.references import beside, load_object
from agentbench.tools.function import FunctionTool

LINE_LIMIT = 16 * 2**20


class Hosting(BaseModel):
    """Limits of a toolkit's process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_mb: int = Field(1024, ge=64)
    cpu_s: int = Field(60, ge=1, description="Processor time of an attempt's calls together.")
    network: bool = False


class HostedError(Exception):
    """An exception of the toolkit, with its type's name and its message."""


class HostedToolkit:
    """Implements `ToolSession`. When its process dies, only its own attempt breaks.

    The process runs the module `host` (see `agentbench.tools.host`); `target` is the toolkit's name in messages.
    """

    def __init__(
        self,
        target: str,
        limits: Hosting,
        host: str = "agentbench.tools.host",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._target = target
        self._limits = limits
        self._host = host
        self._variables = {"PYTHONDONTWRITEBYTECODE": "1", **(variables or {})}
        self._marked: MarkedProcess | None = None
        self._turn = asyncio.Lock()
        self.specs: tuple[ToolSpec, ...] = ()

    async def start(self, opening: Mapping[str, Any]) -> None:
        """Starts the process and opens the toolkit that `opening` describes."""
        self._marked = await MarkedProcess.start(
            *(sys.executable, "-m", self._host),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=with_variables(**self._variables),
            limit=LINE_LIMIT,
        )
        specs = await self._ask({**opening, "limits": self._limits.model_dump()})
        self.specs = tuple(ToolSpec(**spec) for spec in specs)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        return str(await self._ask({"call": name, "arguments": dict(arguments)}))

    async def converted(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask({"convert": name, "arguments": dict(arguments)})
        return found

    async def state(self) -> Any:
        return await self._ask({"state": True})

    async def _ask(self, request: Mapping[str, Any]) -> Any:
        """One request at a time. When the caller is cancelled before the answer (a timeout), the process is killed,
        since it may hang.
        """
        process = self._marked.process if self._marked else None
        if process is None or process.stdin is None or process.stdout is None or process.returncode is not None:
            raise AttemptError("tool", f"the process of {self._target} has ended")
        async with self._turn:
            try:
                process.stdin.write(json.dumps(request, default=str).encode() + b"\n")
                line = await process.stdout.readline()
            except asyncio.CancelledError:
                await self.stop()
                raise
            except (OSError, ValueError) as error:
                raise AttemptError("tool", f"the process of {self._target} broke: {error}") from None
        if not line:
            raise AttemptError("tool", f"the process of {self._target} died ({_how(await process.wait())})")
        reply = json.loads(line)
        if "error" in reply:
            raise HostedError(reply["error"])
        return reply["value"]

    async def stop(self) -> None:
        """Ends the process and its children; safe to call twice."""
        marked, self._marked = self._marked, None
        if marked is not None:
            await marked.kill()


def _how(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit code {status}"


NOT_TOOLS = ("reset", "state")


class ToolkitConfig(BaseModel):
    """Options of the `toolkit` tool source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str = Field(description="file.py:Class beside the suite, or module:Class.")
    include: tuple[str, ...] = Field(("*",), description="Methods that are tools; * and ? stand for any text.")
    exclude: tuple[str, ...] = ()
    process: bool = Field(False, description="Each attempt's instance in a process of its own, within limits.")
    limits: Hosting = Field(Hosting(), description="process only.")


class ToolkitSource:
    """A fresh instance of a class for each attempt.

    If the class has them, `reset(case)` is called before the attempt, and `state()` returns the state afterwards. Both
    may be coroutines. Methods whose names start with an underscore are no tools.
    """

    Config = ToolkitConfig

    def __init__(self, config: ToolkitConfig, root: Path) -> None:
        self._config = config
        self._root = root
        self._class = toolkit_class(config.target, root)

    @asynccontextmanager
    async def session(self, case: Case) -> AsyncIterator["ToolkitSession | HostedToolkit"]:
        if self._config.process:
            hosted = HostedToolkit(self._config.target, self._config.limits)
            try:
                await hosted.start(self._opening(case))
                yield hosted
            finally:
                await hosted.stop()
            return
        session = ToolkitSession(self._class(), self._config.include, self._config.exclude)
        await session.reset(case)
        yield session

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its tools, read from the class without an instance."""
        found = [name for name in _written(self._class) if callable(getattr(self._class, name, None))]
        include, exclude = self._config.include, self._config.exclude
        return tuple(name for name in found if _matches(name, include) and not _matches(name, exclude))

    def _opening(self, case: Case) -> dict[str, Any]:
        """The opening message for a hosted toolkit's process."""
        return {
            "target": self._config.target,
            "root": str(self._root.resolve()),
            "include": self._config.include,
            "exclude": self._config.exclude,
            "case": asdict(case),
        }


def toolkit_class(target: str, root: Path) -> type:
    """The class that `target` names, from a fresh run of its file; `UserError` when there is none."""
    try:
        with beside(root):
            found = load_object(target, "class", {})
    except ValueError as error:
        raise UserError(f"tool {target!r}: {error}") from None
    if not inspect.isclass(found):
        raise UserError(f"tool {target!r} is a {type(found).__name__}, not a class")
    return found


class ToolkitSession:
    """Implements `ToolSession` for one instance."""

    def __init__(self, instance: Any, include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
        self._instance = instance
        names = [name for name in _methods(instance) if _matches(name, include) and not _matches(name, exclude)]
        self._tools = {name: FunctionTool(getattr(instance, name)) for name in names}
        self.specs: tuple[ToolSpec, ...] = tuple(tool.spec for tool in self._tools.values())

    async def reset(self, case: Case) -> None:
        if hasattr(self._instance, "reset"):
            await _awaited(self._instance.reset(case))

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        return await self._tools[name].call(name, arguments)

    async def converted(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._tools[name].converted(name, arguments)

    async def state(self) -> Any:
        if not hasattr(self._instance, "state"):
            return None
        return copy.deepcopy(await _awaited(self._instance.state()))


def _methods(instance: Any) -> list[str]:
    """The public methods in source order, inherited ones first."""
    return [name for name in _written(type(instance)) if callable(getattr(instance, name))]


def _written(cls: type) -> list[str]:
    """The public names of a class and its bases, in that order."""
    names = [name for each in reversed(cls.__mro__[:-1]) for name in vars(each)]
    return list(dict.fromkeys(name for name in names if not name.startswith("_") and name not in NOT_TOOLS))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
