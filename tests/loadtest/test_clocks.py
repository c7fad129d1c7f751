"""A chunk's time is when it arrived, not when the client came to read it.

The client is held up on purpose, by tens of times what a busy machine does to a stamp. How exact the clocks are on a
quiet machine is measured in results/benchmarks/2026-11-28-clocks.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.loadtest.clocks import Seen, agents, errors_ms, load_generator
from tests.loadtest.scripted_server import scripted_server

HELD_S = 0.2
FREE_S = 0.005
TOKENS = 2
"""Far apart: tokens that are read together count as one chunk."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with scripted_server("--ttft-ms", "60", "--tpot-ms", "600") as server:
        yield server.base_url


async def hold_up() -> None:
    """Code that computes on the event loop, so that everything there is read late."""
    while True:
        time.sleep(HELD_S)
        await asyncio.sleep(FREE_S)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says when bytes arrived")
@pytest.mark.parametrize("measure", [load_generator, agents])
async def test_a_client_that_reads_late_still_says_when_a_token_came(
    url: str, measure: Callable[[str, int], Awaitable[list[Seen]]]
) -> None:
    busy = asyncio.create_task(hold_up())
    try:
        off = errors_ms(await measure(url, TOKENS))
    finally:
        busy.cancel()
    assert statistics.median(off["ttft"]) < HELD_S * 1000 / 8, "the reads were late by about half of the time held"
