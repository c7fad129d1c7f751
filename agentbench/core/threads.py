"""Runs each blocking call of user code in a thread of its own, so that a hanging call blocks no other."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def in_thread(function: Callable[[], Result]) -> Result:
    """The result or exception of `function`, run in a thread of its own.

    asyncio's own pool has few threads, and the process waits for them at exit. This thread is a daemon: when the caller
    is cancelled, the thread is abandoned and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = context.run(function)
        except StopIteration as stop:  # a future takes none, and its caller would wait for ever
            error = RuntimeError("the function raised StopIteration")
            error.__cause__ = stop
        # A user's function may raise anything; the caller receives it.
        except BaseException as caught:
            error = caught
        # The loop may be closed by now; nobody waits then.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="agentbench call", daemon=True).start()
    return await done
