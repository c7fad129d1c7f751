"""Runs each blocking call of a user in a thread of its own: none waits for another; a hanging one blocks nothing."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def in_thread(function: Callable[[], Result]) -> Result:
    """What `function` returns or raises, from a thread of its own.

    asyncio's own pool has few threads, and the process waits for them at its end. This one is a daemon: when the
    caller is cancelled it is left behind, and what comes of it is dropped.
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
        # A user's function may raise anything, and all of it is for the caller.
        except BaseException as caught:
            error = caught
        # The loop may be closed by now, when nobody waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="agentbench call", daemon=True).start()
    return await done
