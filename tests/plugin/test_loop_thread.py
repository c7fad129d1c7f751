import asyncio
from threading import Event

from agentbench.plugin.loop_thread import LoopThread


def test_what_was_cancelled_has_ended_when_the_loop_is_closed() -> None:
    loop, started, ended = LoopThread(), Event(), Event()

    async def work() -> None:
        try:
            started.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)
            ended.set()

    running = loop.start(work())
    assert started.wait(60)
    running.cancel()
    loop.close()
    assert ended.is_set()
