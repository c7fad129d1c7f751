"""Processes: identifies the process of a run and whether it has ended, and ends child processes with their descendants.

Each child leads a group. A model server or an MCP server is first asked to end (`end_group`). Code of an agent or a
model is killed, with descendants outside its group (`MarkedProcess`); a `Lifeline` does so when this process dies.
"""

import asyncio
import os
import platform
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

from agentbench.core.threads import in_thread
from agentbench.process_mark import MARK_VARIABLE, PROGRAM, end_marked


def identity() -> dict[str, Any]:
    """Identifies this process among all of its machine, past ones included, since pids are reused."""
    return {"host": platform.node(), "pid": os.getpid(), "pid_of": _of(os.getpid())}


def has_ended(process: Mapping[str, Any]) -> bool:
    """Whether the process of an `identity` has certainly ended; False when this machine can't tell."""
    pid = process.get("pid")
    if process.get("host") != platform.node() or not isinstance(pid, int):
        return False
    found, recorded = _of(pid), process.get("pid_of")
    if found is None or not isinstance(recorded, list):
        return recorded is None and not _is_there(pid)
    here = _of(os.getpid()) or []
    return recorded[:1] == here[:1] and found != recorded


def _of(pid: int) -> list[str] | None:
    """The pid's namespace, and its process's start time (clock ticks after boot); None without /proc.

    For an unused pid, the namespace alone.
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


def signal_group(group: int, number: signal.Signals) -> None:
    """Signals each process of the group; a process that has ended, or belongs to another user by now, is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


async def end_group(group: int, exited: Callable[[], Awaitable[object]], grace_s: float) -> None:
    """Asks the group to end, and kills the rest of it when its leader has exited, or after `grace_s`."""
    signal_group(group, signal.SIGTERM)
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(exited(), grace_s)
    finally:
        # Also when we are cancelled meanwhile: nobody else would end it.
        signal_group(group, signal.SIGKILL)


class MarkedProcess:
    """A process that leads a session, and whose descendants are found by a mark in their environment."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str) -> None:
        self.process = process
        self.mark = mark

    @classmethod
    async def start(cls, *command: str, env: Mapping[str, str], **options: Any) -> Self:
        """`options` are those of `asyncio.create_subprocess_exec`. Raises `OSError` when it can't be started."""
        mark = token_hex(16)
        marked = {**env, MARK_VARIABLE: mark}
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(*command, env=marked, start_new_session=True, **options)
        )
        try:
            return cls(await asyncio.shield(starting), mark)
        except asyncio.CancelledError:
            # asyncio would end the program alone, and wait as long as a child of it holds its pipes.
            await asyncio.shield(asyncio.ensure_future(cls._discard(starting, mark)))
            raise

    @classmethod
    async def _discard(cls, starting: "asyncio.Future[asyncio.subprocess.Process]", mark: str) -> None:
        with suppress(OSError):
            await cls(await starting, mark).kill()

    async def kill(self) -> None:
        """Ends the process and its descendants; safe to call twice."""
        await in_thread(partial(end_marked, self.process.pid, self.mark))
        await self.process.wait()


class Lifeline:
    """A small process that holds a pipe from us. When the pipe closes, it ends the registered processes with their
    descendants (`agentbench.process_mark`).

    A program's own standard input closes too when we die. But not every program reads it to the end, and one that
    received its task has seen the end already.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            # It carries no mark, since it has to outlive us when another agentbench runs us.
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

    def hold(self, marked: MarkedProcess) -> None:
        self._tell(f"+{marked.process.pid} {marked.mark}\n")

    def end(self, marked: MarkedProcess) -> None:
        """Kill the process now, and soon its descendants outside the group; a process that has ended is no error."""
        signal_group(marked.process.pid, signal.SIGKILL)
        self._tell(f"-{marked.process.pid} {marked.mark}\n")

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line.encode())
