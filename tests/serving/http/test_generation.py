"""The relay from the engine's thread to the loop loses nothing, keeps the order, and wakes the loop rarely."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from serving.core import TokenDelta
from serving.http.generation import DeltaRelay


def delta(count: int) -> TokenDelta:
    return TokenDelta(text="", token_ids=(0,), prompt_tokens=1, cached_tokens=0, completion_tokens=count)


async def test_the_deltas_of_each_receiver_arrive_in_order() -> None:
    relay = DeltaRelay()
    queues: list[asyncio.Queue[tuple[TokenDelta, float]]] = [asyncio.Queue() for _ in range(4)]
    receivers = [relay.to_loop(queue.put_nowait) for queue in queues]

    def send() -> None:
        for count in range(2000):
            for receive in receivers:
                receive(delta(count))

    thread = threading.Thread(target=send)
    thread.start()
    for queue in queues:
        got = [await asyncio.wait_for(queue.get(), 20) for _ in range(2000)]
        assert [item.completion_tokens for item, _ in got] == list(range(2000))
        times = [at for _, at in got]
        assert times == sorted(times)
    thread.join()


async def test_deltas_sent_together_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = DeltaRelay()
    got: list[int] = []
    loop = asyncio.get_running_loop()
    woken: list[object] = []
    original = loop.call_soon_threadsafe

    def counting(callback: Callable[..., object], *args: Any, context: Any = None) -> asyncio.Handle:
        woken.append(callback)
        return original(callback, *args, context=context)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counting)
    receive = relay.to_loop(lambda item: got.append(item[0].completion_tokens))
    for count in range(32):
        receive(delta(count))
    await asyncio.sleep(0)
    assert got == list(range(32))
    assert len(woken) == 1


def test_deltas_after_the_end_of_the_loop_are_dropped() -> None:
    relay = DeltaRelay()

    got: list[object] = []

    async def receiver() -> Callable[[TokenDelta], None]:
        return relay.to_loop(got.append)

    receive = asyncio.run(receiver())
    receive(delta(1))
    assert got == []
