"""A toolkit's instance in a process of its own: calls by name with JSON arguments over pipes, within limits."""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from functools import partial
from secrets import token_hex
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench import marked
from agentbench.case import ToolSpec
from agentbench.environment import with_variables
from agentbench.errors import AttemptError
from agentbench.threads import in_thread

LINE_LIMIT = 16 * 2**20


class Hosting(BaseModel):
    """Limits of a toolkit's process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_mb: int = Field(1024, ge=64)
    cpu_s: int = Field(60, ge=1, description="Processor time of an attempt's calls together.")
    network: bool = False


class HostedError(Exception):
    """What the toolkit raised, by its type's name and its message."""


class HostedToolkit:
    """Implements `ToolSession`. A process that dies breaks the attempt it is of, and no other.

    `host` is the module that the process runs (see `agentbench.tools.host`), `target` what messages call its toolkit.
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
        self._process: asyncio.subprocess.Process | None = None
        self._mark = token_hex(16)
        self._turn = asyncio.Lock()
        self.specs: tuple[ToolSpec, ...] = ()

    async def start(self, opening: Mapping[str, Any]) -> None:
        """Starts the process and asks it to open what `opening` says."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._host),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=with_variables(**{**self._variables, marked.VARIABLE: self._mark}),
            start_new_session=True,
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
        """One question at a time. Left before its answer (a timeout), the process is ended: it may hang."""
        process = self._process
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
        """Ends the process and all it started; safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        await in_thread(partial(marked.end, process.pid, self._mark))
        await process.wait()


def _how(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit code {status}"
