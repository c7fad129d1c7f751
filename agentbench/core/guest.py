"""Runs foreign code (agents, tools, scorers) in tasks of its own, so that it can neither end an event loop nor block
its end.

Whatever the code raises becomes a value. Code that ignores its cancellation is abandoned after a grace period.
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
"""How long cancelled code may take to end before it is abandoned."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception from foreign code; `SystemExit` and cancellations by the code itself are included."""

    error: BaseException


def described(error: BaseException) -> str:
    """The exception's type and message."""
    try:
        text = str(error)
    # `__str__` of the exception is foreign code too.
    except Exception:
        text = "(its message can't be read)"
    if isinstance(error, asyncio.CancelledError):
        text = text or "a task was cancelled, and not by the run"
    return f"{type(error).__name__}: {text}"


class Late(Enum):
    """The foreign code was still running at its time limit."""

    LATE = "late"


LATE: Final = Late.LATE


class Guest(Generic[Result]):
    """Runs foreign `work` in a task of its own.

    A cancellation of the waiting task is never mistaken for one by the work itself. No exception of the work reaches
    the event loop. Work that ignores its cancellation blocks nobody.
    """

    def __init__(self, work: Callable[[], Awaitable[Result]]) -> None:
        self.task: asyncio.Task[Result | Raised] = asyncio.create_task(_caught(work))

    async def outcome(self, limit_s: float | None = None) -> Result | Raised | Late:
        """The result of the work; `LATE` when it is still running at the limit."""
        await asyncio.wait({self.task}, timeout=limit_s)
        if not self.task.done():
            return LATE
        return Raised(asyncio.CancelledError()) if self.task.cancelled() else self.task.result()

    async def within(
        self, limit_s: float | None, at_limit: Callable[[], object] | None = None
    ) -> Result | Raised | Late:
        """The result of the work. The work is cancelled at its limit, after `at_limit` is called, and when the caller
        is cancelled.
        """
        try:
            outcome = await self.outcome(limit_s)
            if outcome is LATE and at_limit is not None:
                at_limit()
            return outcome
        finally:
            if not self.task.done():
                await self.end()

    async def end(self) -> None:
        """Cancel the work and wait for its end, at most for the grace period."""
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=GRACE_S)
        if not self.task.done():
            leave_behind(self.task)


_left_behind: set["asyncio.Task[Any]"] = set()


def leave_behind(task: "asyncio.Task[Any]") -> None:
    """Abandon a task: nobody waits for it any more.

    A reference to it is held until the interpreter exits. Dropping the task would raise GeneratorExit in it; a task
    that ignores this too would keep the process from exiting.
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
    # SystemExit would end the loop, and a cancellation would look like ours: return both as values.
    except BaseException as error:
        return Raised(error)


async def contained(
    work: Callable[[], Awaitable[Result]], limit_s: float | None = None, at_limit: Callable[[], object] | None = None
) -> Result | Raised | Late:
    """The result of foreign `work`, with an optional time limit; see `Guest.within`."""
    return await Guest(work).within(limit_s, at_limit)


class GuestContext(Generic[Held]):
    """Enters and leaves a foreign async context in one task, as task groups and cancel scopes require."""

    def __init__(self, context: AbstractAsyncContextManager[Held]) -> None:
        self._entered: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        self._leaving = asyncio.Event()
        self._guest = Guest(partial(self._hold, context))

    async def _hold(self, context: AbstractAsyncContextManager[Held]) -> None:
        async with context as held:
            self._entered.set_result(held)
            await self._leaving.wait()

    async def enter(self, limit_s: float) -> Held | Raised | Late:
        """The value of the context's `__aenter__`. When it fails, the context is closed already."""
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
        """The exception that leaving the context raised, or None."""
        self._leaving.set()
        return await self._guest.within(limit_s)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Like `asyncio.run`, Ctrl-C included.

    A SystemExit in a task that an agent started ends that task only. Tasks and threads that ignore their cancellation
    are abandoned.
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
            loop.run_until_complete(cancel_all_tasks())
        return task.result()


async def _ended(task: "asyncio.Task[Any]") -> None:
    """Waits for the task, and passes on a cancellation of the caller."""
    with suppress(Exception):  # `run` reads the exception from the task
        await task


async def cancel_all_tasks() -> None:
    """Cancels every other task of the loop, and abandons those that still run after the grace period."""
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
    """An executor for `asyncio.to_thread` with one daemon thread per call; the process does not wait for daemons at
    exit.
    """

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        future: Future[Result] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            # As in a thread pool, the future carries the exception to the waiting task.
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, name="agentbench call", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """There is nothing to wait for."""
