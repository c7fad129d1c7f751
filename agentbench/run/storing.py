"""Stores attempts as they end; attempts that end during a transaction share the next one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.threads import in_thread
from agentbench.store import AlreadyStored, Store

WAITING = 4
"""Attempts that may wait to be stored, per concurrent attempt; beyond that the run waits for the store."""

Ended = tuple[Attempt, Case]


async def stored(
    attempts: AsyncIterator[Ended], store: Store, run_id: str, concurrency: int
) -> AsyncGenerator[Attempt]:
    """Yields each attempt once it is stored; an attempt that another process stored first is left out.

    When it is closed early, or an attempt raises, the attempts that have ended are stored too.
    """
    waiting: asyncio.Queue[Ended | None] = asyncio.Queue()
    room = asyncio.Semaphore(WAITING * concurrency)
    pump = asyncio.create_task(_pump(attempts, waiting, room))
    try:
        while (batch := await _batch(waiting, room)) is not None:
            had = await in_thread(lambda batch=batch: store.add_attempts(run_id, batch))  # type: ignore[misc]
            for attempt, _ in batch:
                if (attempt.case_id, attempt.repeat) not in had:
                    yield attempt
        await pump
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        if rest := _taken(waiting, room):
            await in_thread(lambda: store.add_attempts(run_id, rest))


async def _pump(
    attempts: AsyncIterator[Ended], waiting: "asyncio.Queue[Ended | None]", room: asyncio.Semaphore
) -> None:
    """Puts attempts into the queue while there is room, and finally None, for which the consumer waits."""
    try:
        async for ended in attempts:
            waiting.put_nowait(ended)
            await room.acquire()
    finally:
        waiting.put_nowait(None)


async def _batch(waiting: "asyncio.Queue[Ended | None]", room: asyncio.Semaphore) -> list[Ended] | None:
    """The waiting attempts, at least one; None at the end."""
    first = await waiting.get()
    if first is None:
        return None
    room.release()
    return [first, *_taken(waiting, room)]


def _taken(waiting: "asyncio.Queue[Ended | None]", room: asyncio.Semaphore) -> list[Ended]:
    taken: list[Ended] = []
    while not waiting.empty():
        ended = waiting.get_nowait()
        if ended is None:
            waiting.put_nowait(None)
            break
        taken.append(ended)
        room.release()
    return taken


def keep(store: Store, run_id: str, attempt: Attempt, case: Case) -> bool:
    """Store an attempt; False when another process stored the same one first."""
    try:
        store.add_attempt(run_id, attempt, case)
    except AlreadyStored:
        return False
    return True
