"""Which process makes a run, and whether it has ended: one that was killed could not say so itself.

Ends the processes of an agent when we die, in whatever way.
"""

import asyncio
import os
import platform
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentbench.process_mark import PROGRAM


def identity() -> dict[str, Any]:
    """This process, among those of its machine now and before: numbers are given out again."""
    return {"host": platform.node(), "pid": os.getpid(), "pid_of": _of(os.getpid())}


def has_ended(process: Mapping[str, Any]) -> bool:
    """Whether a process that an `identity` names has ended for sure; False where this machine can't know."""
    pid = process.get("pid")
    if process.get("host") != platform.node() or not isinstance(pid, int):
        return False
    found, known = _of(pid), process.get("pid_of")
    if found is None or not isinstance(known, list):
        return known is None and not _is_there(pid)
    here = _of(os.getpid()) or []
    return known[:1] == here[:1] and found != known


def _of(pid: int) -> list[str] | None:
    """The pid's namespace, and when its process began (clock ticks after the boot); None without /proc.

    Of a pid that nobody has, the namespace alone.
    """
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
    try:
        # Field 22; the second is the program's name in parentheses, and may hold anything.
        began = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return [space]
    return [space, began]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class Lifeline:
    """A small process that holds a pipe of ours: when it closes, it ends the processes it was told of with all they
    started (`agentbench.process_mark`).

    A program's own standard input closes too when we die, but not every program reads it to its end, and one that
    was given its task has seen its end already.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", PROGRAM),
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
