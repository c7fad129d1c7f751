"""Failing cases run again, after the run: to show what is flaky, never to raise a figure."""

import asyncio
import time
from collections.abc import Mapping

from agentbench.case import Case
from agentbench.experiment import log_path, opened_backend, opened_bench, plan, started_server
from agentbench.flaky import rerun_label
from agentbench.keeping import keep
from agentbench.plugin.loop_thread import LoopThread
from agentbench.plugin.once import POLL_S, Once
from agentbench.plugin.suite_run import SuiteRun
from agentbench.run import RunStatus
from agentbench.runner import Bench, Job, run_job
from agentbench.store import Store
from agentbench.suite import Suite


class Reruns:
    """A run of its own, linked to the first by `rerun_of` in its environment.

    It starts when the first has ended, so that it takes nothing from it. Repeats count on from the first run's: each
    has a seed of its own. Under pytest-xdist one worker makes it.
    """

    def __init__(self, suite: Suite, of: SuiteRun, most: int, store: Store, loop: LoopThread, once: Once) -> None:
        self._suite = suite
        self._of = of
        self._most = most
        self._store = store
        self._loop = loop
        self._once = once
        self._rescued: Mapping[str, int] | None = None

    def rescued(self) -> Mapping[str, int]:
        """The cases that a rerun got right, and which one did (from 1). Waits for the run, then for the reruns."""
        if self._rescued is None:
            self._of.complete(frozenset(case.id for case in self._suite.cases))
            while "rescued" not in (told := self._once.told()):
                if self._once.take():
                    self._make()
                else:
                    time.sleep(POLL_S)
            self._rescued = told["rescued"]
        return self._rescued

    def _make(self) -> None:
        rescued: dict[str, int] = {}
        try:
            if failing := self._failing():
                rescued = self._loop.run(self._again(self._suite.only(failing)))
        finally:
            # Said whatever happened, since others wait for it.
            self._once.tell(rescued=rescued)
            self._once.leave()

    def _failing(self) -> frozenset[str]:
        attempts = self._store.measured_attempts(self._of.run_id)
        return frozenset(attempt.case_id for attempt in attempts if attempt.failure or attempt.passed is False)

    async def _again(self, suite: Suite) -> dict[str, int]:
        of = self._of.run_id
        experiment = plan(suite, self._store, label=rerun_label(of), facts={"rerun_of": of}, kind="rerun")
        places = asyncio.Semaphore(suite.config.run.concurrency)
        ended: RunStatus = "interrupted"
        try:
            async with (
                started_server(suite, log_path(experiment.run)) as endpoint,
                opened_backend(suite, endpoint) as backend,
                opened_bench(suite, backend, self._store) as bench,
            ):
                again = (self._rerun(case, bench, experiment.run.id, places) for case in suite.cases)
                found = await asyncio.gather(*again)
            ended = "finished"
        finally:
            self._store.set_status(experiment.run.id, ended)
        return {case.id: number for case, number in zip(suite.cases, found, strict=True) if number is not None}

    async def _rerun(self, case: Case, bench: Bench, run_id: str, places: asyncio.Semaphore) -> int | None:
        first = self._suite.config.run.repeats
        for number in range(1, self._most + 1):
            async with places:
                attempt = await run_job(Job(case=case, repeat=first + number - 1), bench)
            keep(self._store, run_id, attempt, case)
            if attempt.passed:
                return number
        return None
