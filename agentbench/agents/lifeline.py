"""Ends the processes of an agent when we die, in whatever way."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

from agentbench import marked


class Lifeline:
    """A small process that holds a pipe of ours: when it closes, it ends the processes it was told of with all they
    started (`agentbench.marked`).

    A program's own standard input closes too when we die, but not every program reads it to its end, and one that
    was given its task has seen its end already.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", marked.__file__),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            # Not marked itself, where we are what another agentbench runs: it has to outlive us.
            env={},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()

    def hold(self, group: int, mark: str) -> None:
        self._tell(f"+{group} {mark}\n")

    def end(self, group: int, mark: str) -> None:
        """Kill it now, and soon what left its group; one that ended already is no error."""
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._tell(f"-{group} {mark}\n")

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line.encode())
