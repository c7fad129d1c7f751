"""An asyncio loop in a thread, for pytest's synchronous items."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any, TypeVar

from agentbench.core.guest import DaemonThreads, cancel_all_tasks

Result = TypeVar("Result")


class LoopThread:
    """Runs coroutines for other threads. Contexts that it entered stay open until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(DaemonThreads())
        self._thread = threading.Thread(target=self._serve, name="agentbench", daemon=True)
        self._thread.start()
        self._contexts = AsyncExitStack()
        self._tasks: set[asyncio.Task[Any]] = set()

    def _serve(self) -> None:
        """Runs the loop until it is stopped. A SystemExit in an agent's task ends that task, not the loop."""
        while True:
            with suppress(SystemExit, KeyboardInterrupt):
                return self._loop.run_forever()

    def start(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        return asyncio.run_coroutine_threadsafe(self._own(work), self._loop)

    async def _own(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await work

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The coroutine's result; an interrupt while waiting cancels it."""
        future = self.start(work)
        try:
            return future.result()
        except (
            BaseException
        ):  # an exception of the work, or an interrupt of this thread; finished work is not cancelled
            future.cancel()
            raise

    def enter(self, context: AbstractAsyncContextManager[Result]) -> Result:
        return self.run(self._contexts.enter_async_context(context))

    def close(self) -> None:
        """Wait for cancelled work, leave the contexts (which stops servers), and end the loop and its thread."""
        try:
            self.run(self._cancelled())
            self.run(self._contexts.aclose())
            self.run(cancel_all_tasks())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _cancelled(self) -> None:
        """Waits until cancelled work has ended."""
        if tasks := [task for task in self._tasks if task.cancelling()]:
            await asyncio.wait(tasks)
