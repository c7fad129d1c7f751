"""Code that is not ours, in a task of its own: what comes of it is a value, and it can be left behind.

Event loops in which code runs that is not ours: it can neither end them nor keep them from ending.
"""

import asyncio
import ctypes
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final, Generic, TypeVar

Result = TypeVar("Result")
Held = TypeVar("Held")

GRACE_S = 5.0
"""How long code that is cancelled may take to end; then it is left behind."""


@dataclass(frozen=True, slots=True)
class Raised:
    """What a guest raised, be it SystemExit or a cancellation that was none of ours."""

    error: BaseException


def described(error: BaseException) -> str:
    """The type and the message, in a line or more."""
    try:
        said = str(error)
    # An exception's text is its author's code too.
    except Exception:
        said = "(its message can't be read)"
    if isinstance(error, asyncio.CancelledError):
        said = said or "a task was cancelled, and not by the run"
    return f"{type(error).__name__}: {said}"


class Late(Enum):
    """The guest had not ended at its limit."""

    LATE = "late"


LATE: Final = Late.LATE


class Guest(Generic[Result]):
    """Runs `work` in a task of its own.

    A cancellation of whoever waits for it and one that the guest made itself can't be mistaken for each other, nothing
    that it raises reaches the loop, and one that swallows its cancellation holds up nobody.
    """

    def __init__(self, work: Callable[[], Awaitable[Result]]) -> None:
        self.task: asyncio.Task[Result | Raised] = asyncio.create_task(_caught(work))

    async def outcome(self, limit_s: float | None = None) -> Result | Raised | Late:
        """What came of it; `LATE` when it goes on at the limit."""
        await asyncio.wait({self.task}, timeout=limit_s)
        if not self.task.done():
            return LATE
        return Raised(asyncio.CancelledError()) if self.task.cancelled() else self.task.result()

    async def within(
        self, limit_s: float | None, at_limit: Callable[[], object] | None = None
    ) -> Result | Raised | Late:
        """What came of it. At the limit (`at_limit` is called first), and when we are cancelled, it is ended."""
        try:
            outcome = await self.outcome(limit_s)
            if outcome is LATE and at_limit is not None:
                at_limit()
            return outcome
        finally:
            if not self.task.done():
                await self.end()

    async def end(self) -> None:
        """Cancel it and wait for its end, no longer than the grace."""
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=GRACE_S)
        if not self.task.done():
            leave_behind(self.task)


_left_behind: set["asyncio.Task[Any]"] = set()


def leave_behind(task: "asyncio.Task[Any]") -> None:
    """Nobody waits for it any more.

    It is kept over the interpreter's own end: dropping it would raise GeneratorExit in it, and one that swallows that
    too would never let the process go.
    """
    if task not in _left_behind:
        _left_behind.add(task)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
        task.add_done_callback(_dropped)


def _dropped(task: "asyncio.Task[Any]") -> None:
    _left_behind.discard(task)
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(task))


def is_left_behind(task: "asyncio.Task[Any]") -> bool:
    return task in _left_behind


async def _caught(work: Callable[[], Awaitable[Result]]) -> Result | Raised:
    try:
        return await work()
    # SystemExit would end the loop, a cancellation would look like ours: all of it is a value.
    except BaseException as error:
        return Raised(error)


async def contained(
    work: Callable[[], Awaitable[Result]], limit_s: float | None = None, at_limit: Callable[[], object] | None = None
) -> Result | Raised | Late:
    """What came of `work`, as of a guest that is given so long."""
    return await Guest(work).within(limit_s, at_limit)


class GuestContext(Generic[Held]):
    """A context that is not ours, entered and left in one task of its own, as task groups and cancel scopes ask."""

    def __init__(self, context: AbstractAsyncContextManager[Held]) -> None:
        self._entered: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        self._leaving = asyncio.Event()
        self._guest = Guest(partial(self._hold, context))

    async def _hold(self, context: AbstractAsyncContextManager[Held]) -> None:
        async with context as held:
            self._entered.set_result(held)
            await self._leaving.wait()

    async def enter(self, limit_s: float) -> Held | Raised | Late:
        """What the context gives. When it gives nothing it is ended already, and need not be left."""
        try:
            waited: set[asyncio.Future[Any]] = {self._entered, self._guest.task}
            await asyncio.wait(waited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._guest.end()
            raise
        if self._entered.done():
            return self._entered.result()
        outcome = await self._guest.outcome(0)
        if isinstance(outcome, Raised):
            return outcome
        await self._guest.end()
        return LATE

    async def leave(self, limit_s: float) -> Raised | Late | None:
        """What leaving it raised, None when it was left well."""
        self._leaving.set()
        return await self._guest.within(limit_s)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """As `asyncio.run`, Ctrl-C too.

    A SystemExit in a task that an agent started ends that task and no more; tasks and threads that do not end when
    they are told to are left behind.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_default_executor(DaemonThreads())
        task = loop.create_task(main)
        try:
            while not task.done():
                with suppress(SystemExit):
                    runner.run(_ended(task))
        finally:
            if not task.done():
                task.cancel()
                loop.run_until_complete(asyncio.wait({task}))
            loop.run_until_complete(let_go())
        return task.result()


async def _ended(task: "asyncio.Task[Any]") -> None:
    """Waits for the task, and passes on a cancellation."""
    with suppress(Exception):  # whatever the work raised: `run` takes it from the task
        await task


async def let_go() -> None:
    """Cancel every other task of the loop; those that go on after a grace are none of its any more."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if waited := [task for task in tasks if not is_left_behind(task)]:
        await asyncio.wait(waited, timeout=GRACE_S)
    for task in tasks:
        if not task.done():
            leave_behind(task)
            asyncio.tasks._unregister_task(task)


class DaemonThreads(ThreadPoolExecutor):
    """A daemon thread for each call (`asyncio.to_thread`): a process does not wait for those at its end."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        future: Future[Result] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            # As a pool does it: what the call raises is for whoever waits for it.
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, name="agentbench call", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """There is nothing to wait for."""
