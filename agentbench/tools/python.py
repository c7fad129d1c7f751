"""The `python` tool source: runs the model's Python code in a process with limits."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.case import Case, ToolSpec
from agentbench.core.errors import AttemptError
from agentbench.processes import MarkedProcess
from agentbench.tools import confinement

OUTPUT_BYTES = 2**16


class PythonConfig(BaseModel):
    """Options of the `python` tool source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "run_python"
    timeout_s: float = Field(10.0, gt=0, description="Seconds that one call may take.")
    memory_mb: int = Field(512, ge=64)
    cpu_s: int = Field(10, ge=1, description="Processor time of one call.")
    processes: int = Field(16, ge=1, description="Most processes and threads of its user while it runs.")
    network: Literal["none", "allowed"] = "none"


class PythonSource:
    """The tool `run_python(code)`.

    Each call is a fresh process with an empty environment, in its own directory, which is removed afterwards. The code
    can read and write what the current user can.
    """

    Config = PythonConfig

    def __init__(self, config: PythonConfig, root: Path) -> None:
        self._config = config
        self.specs = (
            ToolSpec(
                name=config.name,
                description="Run Python code and get what it prints. Nothing is kept between calls.",
                parameters={
                    "type": "object",
                    "properties": {"code": {"type": "string", "description": "The code; print what you want to see."}},
                    "required": ["code"],
                    "additionalProperties": False,
                },
            ),
        )

    @property
    def names(self) -> tuple[str, ...]:
        return (self._config.name,)

    @asynccontextmanager
    async def session(self, case: Case) -> AsyncIterator["PythonSource"]:
        yield self

    async def state(self) -> None:
        return None

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        code = arguments.get("code")
        if not isinstance(code, str):
            raise ValueError("code: expected a string")
        with tempfile.TemporaryDirectory(prefix="agentbench-python-", ignore_cleanup_errors=True) as folder:
            return await self._run(code, folder)

    async def _run(self, code: str, folder: str) -> str:
        config = self._config
        limits = (config.memory_mb, config.cpu_s, config.processes, int(config.network == "allowed"))
        marked = await MarkedProcess.start(
            *(sys.executable, "-I", "-S", confinement.__file__, *map(str, limits)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env={"HOME": folder, "TMPDIR": folder, "PATH": os.defpath, "LANG": "C.UTF-8"},
        )
        printed = bytearray()
        try:
            async with asyncio.timeout(config.timeout_s):
                await self._talk(marked.process, code, printed)
                status = await marked.process.wait()
        except TimeoutError:
            return f"{_text(printed)}\n[ended: not done after {config.timeout_s:g} s]"
        finally:
            # Children that it left running would keep its output open and use the machine.
            await marked.kill()
        if status == confinement.NO_NETWORK:
            raise AttemptError("tool", f"{config.name}: {_text(printed)}; set network: allowed to run it with one")
        return _text(printed) if status == 0 else f"{_text(printed)}\n[{_ended(status)}]"

    async def _talk(self, process: asyncio.subprocess.Process, code: str, printed: bytearray) -> None:
        """Sends the code and stores the end of the output."""
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(code.encode("utf-8", "replace"))
        process.stdin.close()
        while chunk := await process.stdout.read(2**16):
            printed += chunk
            del printed[:-OUTPUT_BYTES]


def _text(printed: bytearray) -> str:
    return bytes(printed).decode("utf-8", "replace").strip()


def _ended(status: int) -> str:
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
