"""Loops in which code of a user's runs."""

import asyncio
import signal
import threading
from contextlib import suppress

import pytest

from agentbench.core import guest
from agentbench.plugin.loop_thread import LoopThread


async def leaves() -> None:
    raise SystemExit(3)


async def outlives_a_task_that_leaves() -> str:
    task = asyncio.create_task(leaves())
    with pytest.raises(SystemExit):
        await task
    return "done"


def test_a_task_that_leaves_the_process_ends_itself_alone() -> None:
    assert guest.run(outlives_a_task_that_leaves()) == "done"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_task_that_leaves_does_not_end_the_loop_of_a_session(kind: type[BaseException]) -> None:
    async def raises() -> None:
        raise kind

    async def outlives() -> str:
        task = asyncio.create_task(raises())
        await asyncio.wait({task})
        assert isinstance(task.exception(), kind)
        return "done"

    loop = LoopThread()
    assert loop.start(outlives()).result(10) == "done"
    loop.close()


def test_what_is_raised_or_left_by_itself_is_passed_on() -> None:
    async def raises() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        guest.run(raises())
    with pytest.raises(SystemExit):
        guest.run(leaves())


def test_an_interrupt_of_the_users_cancels_it_once_and_ends_it() -> None:
    # A shell's background job has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = False

    async def interrupted() -> None:
        nonlocal ended
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended = True

    try:
        with pytest.raises(KeyboardInterrupt):
            guest.run(interrupted())
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_task_that_never_ends_and_a_thread_that_never_returns_hold_up_nothing(
    monkeypatch: pytest.MonkeyPatch, in_thread: bool
) -> None:
    monkeypatch.setattr(guest, "GRACE_S", 0.02)
    release = threading.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    async def leaves_both() -> str:
        left_here.append(asyncio.create_task(stubborn()))
        left_here.append(asyncio.ensure_future(asyncio.to_thread(release.wait)))
        await asyncio.sleep(0)
        return "done"

    left_here: list[asyncio.Future[object]] = []
    if in_thread:
        loop = LoopThread()
        assert loop.run(leaves_both()) == "done"
        loop.close()
    else:
        assert guest.run(leaves_both()) == "done"
    assert guest.is_left_behind(left_here[0])  # type: ignore[arg-type]
    release.set()
