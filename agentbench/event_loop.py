"""Event loops in which code runs that is not ours: it can neither end them nor keep them from ending."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from agentbench.guest import GRACE_S, Result, is_left_behind, leave_behind


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
