"""Attempts on their way to the store."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.run.storing import WAITING, stored
from agentbench.store import Store, open_store
from agentbench.testing.store_samples import a_case, a_run, an_attempt


@pytest.mark.parametrize("breaks", [False, True])
async def test_attempts_that_fill_the_queue_while_a_transaction_runs_are_all_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: bool
) -> None:
    all_ended = threading.Event()
    add = Store.add_attempts

    def slowly(self: Store, run_id: str, attempts: Sequence[tuple[Attempt, Case]]) -> set[tuple[str, int]]:
        assert all_ended.wait(60)
        return add(self, run_id, attempts)

    async def ending() -> AsyncIterator[tuple[Attempt, Case]]:
        yield an_attempt("c0"), a_case("c0")
        await asyncio.sleep(0.01)  # The first is on its way to the store, alone.
        for number in range(1, WAITING + 1):
            yield an_attempt(f"c{number}"), a_case(f"c{number}")
            if number == WAITING:
                all_ended.set()
        if breaks:
            raise RuntimeError("a scorer of one's own")

    async def kept() -> list[str]:
        return [attempt.case_id async for attempt in stored(ending(), store, "run-1", concurrency=1)]

    monkeypatch.setattr(Store, "add_attempts", slowly)
    with open_store(str(tmp_path / "a.db")) as store:
        store.create_run(a_run())
        work = asyncio.wait_for(kept(), 20)
        if breaks:
            with pytest.raises(RuntimeError, match="of one's own"):
                await work
        else:
            assert await work == [f"c{number}" for number in range(WAITING + 1)]
        assert len(store.stored_keys("run-1")) == WAITING + 1
