"""A measurement: one server under one load for some time, with a record of every request."""

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter_ns
from typing import Any

from agentbench.http.client import HttpClient
from agentbench.loadtest.plan import LoadPoint
from agentbench.loadtest.record import TurnExchange
from agentbench.loadtest.workload import Session, Turn

Encode = Callable[[Turn], bytes]

AFTER_ERROR_S = 0.05
"""Pause of a closed loop's client after a failed request, so that it does not spin on a dead server."""


@dataclass(slots=True, kw_only=True)
class Measurement:
    """The records of a measurement, filled in as it runs, so that an interruption loses nothing.

    `started_at` is the `perf_counter_ns` at which the schedule began; `wall_ns` is the same moment since the Unix
    epoch. `client_cpu_s` is the CPU time of the client itself. `complete` is set when every request was sent and
    answered.
    """

    exchanges: list[TurnExchange] = field(default_factory=list)
    started_at: int = 0
    wall_ns: int = 0
    elapsed_s: float = 0.0
    client_cpu_s: float = 0.0
    complete: bool = False


class Driver:
    """Sends sessions to one server, in a closed or open loop."""

    def __init__(self, client: HttpClient, encode: Encode) -> None:
        self._client = client
        self._encode = encode
        self._encoded: dict[int, bytes] = {}

    async def warm_up(
        self, measurement: Measurement, sessions: Iterator[Session], count: int, concurrency: int
    ) -> None:
        """Runs the first turns of `count` sessions as a warm-up, at most `concurrency` in flight."""
        first = (Session(turns=each.turns[:1]) for each in islice(sessions, count))
        workers = (self._work(measurement, first, deadline=None, warmup=True) for _ in range(min(concurrency, count)))
        await _all(list(workers))

    async def measure(
        self, measurement: Measurement, planned: list[Session], more: Iterator[Session], point: LoadPoint
    ) -> None:
        """Sends the planned sessions, and at a point bounded only by time, more until the time is up."""
        self._encoded = {id(turn): self._encode(turn) for session in planned for turn in session.turns}
        sessions = iter(planned) if planned else more
        with _undisturbed():
            cpu = time.process_time()
            measurement.started_at, measurement.wall_ns = perf_counter_ns(), time.time_ns()
            try:
                await self._run(measurement, sessions, point)
                measurement.complete = True
            finally:
                measurement.elapsed_s = (perf_counter_ns() - measurement.started_at) / 1e9
                measurement.client_cpu_s = time.process_time() - cpu

    async def _run(self, measurement: Measurement, sessions: Iterator[Session], point: LoadPoint) -> None:
        deadline = measurement.started_at + round(point.duration_s * 1e9) if point.duration_s else None
        if point.concurrency:
            await _all([self._work(measurement, sessions, deadline) for _ in range(point.concurrency)])
        else:
            await self._open_loop(measurement, sessions, deadline, point.offsets())

    async def _work(
        self, measurement: Measurement, sessions: Iterator[Session], deadline: int | None, warmup: bool = False
    ) -> None:
        """One client of a closed loop."""
        for session in sessions:
            if deadline is not None and perf_counter_ns() >= deadline:
                return
            if not await self._session(measurement, session, perf_counter_ns(), warmup):
                await asyncio.sleep(AFTER_ERROR_S)

    async def _open_loop(
        self,
        measurement: Measurement,
        sessions: Iterator[Session],
        deadline: int | None,
        offsets: Iterator[float] | None,
    ) -> None:
        running: list[asyncio.Task[Any]] = []
        try:
            for session in sessions:
                offset = session.offset_s if offsets is None else next(offsets)
                intended_at = measurement.started_at + round(offset * 1e9)
                if deadline is not None and intended_at >= deadline:
                    break
                await _until(intended_at)
                running.append(asyncio.create_task(self._session(measurement, session, intended_at)))
            await asyncio.gather(*running)
        finally:
            await _cancel(running)

    async def _session(
        self, measurement: Measurement, session: Session, intended_at: int, warmup: bool = False
    ) -> bool:
        """Sends the turns in order, each after its gap from the end of the previous one. Stops at a failed turn and
        returns False.
        """
        number = len(measurement.exchanges)
        for position, turn in enumerate(session.turns):
            if position:
                intended_at += turn.gap_ns
                await _until(intended_at)
            exchange = TurnExchange(
                index=len(measurement.exchanges),
                session=number,
                turn=position,
                request=turn,
                warmup=warmup,
                intended_at=intended_at,
            )
            measurement.exchanges.append(exchange)
            request = self._encoded.pop(id(turn), None) or self._encode(turn)
            await self._client.send(request, exchange)
            if exchange.error or exchange.status != 200:
                return False
            intended_at = exchange.ended_at
        return True


async def _until(at: int) -> None:
    """Waits until `at`. The event loop's timer is exact to 1 ms; the record shows how late a request was sent."""
    wait = at - perf_counter_ns()
    if wait > 0:
        await asyncio.sleep(wait / 1e9)


async def _all(work: list[Coroutine[Any, Any, None]]) -> None:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _cancel(tasks)


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Disables garbage collection while measuring: a collection would show as a gap between tokens."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
