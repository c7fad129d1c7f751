"""An asyncio loop in a thread, for pytest's synchronous items."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

Result = TypeVar("Result")


class LoopThread:
    """Runs coroutines from other threads; contexts entered stay open until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="agentbench", daemon=True)
        self._thread.start()
        self._contexts = AsyncExitStack()

    def start(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The coroutine's result; an interrupt while waiting cancels it."""
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def enter(self, context: AbstractAsyncContextManager[Result]) -> Result:
        return self.run(self._contexts.enter_async_context(context))

    def close(self) -> None:
        """Wait for what was cancelled, leave the contexts (servers stop), end the loop and its thread."""
        try:
            self.run(_cancelled())
            self.run(self._contexts.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _cancelled() -> None:
    """What is being cancelled has ended."""
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.cancelling()), return_exceptions=True)
