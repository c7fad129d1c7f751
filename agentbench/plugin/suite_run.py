"""The attempts behind a suite's items: one run of the whole suite, so that the server can batch.

Failing cases are rerun after it, to show which are flaky, never to raise a figure.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import aclosing
from typing import Protocol

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.run import RunStatus
from agentbench.gate.flaky import rerun_label
from agentbench.plugin.loop_thread import LoopThread
from agentbench.plugin.workers import POLL_S, SessionLock
from agentbench.run.experiment import Experiment, log_path, opened_context, perform, plan, started_server, suite_backend
from agentbench.run.runner import Job, RunContext, run_job
from agentbench.run.storing import keep
from agentbench.store import Store
from agentbench.suite.suite import Suite


class SuiteRun(Protocol):
    """The attempts of one suite in this session; `run_id` names the stored run."""

    @property
    def run_id(self) -> str: ...

    def attempts(self, case: Case) -> list[Attempt]:
        """Every repeat of the case. Waits for them; raises the error if the run ended early."""
        ...

    def complete(self, case_ids: frozenset[str]) -> None:
        """Wait until every repeat of these cases is stored; raises the error if the run ended early."""
        ...

    def close(self) -> None: ...


class BatchRun:
    """Runs all selected cases in the background; items keep their own order and wait for their case."""

    def __init__(
        self, experiment: Experiment, store: Store, loop: LoopThread, parts: Sequence[Experiment] = ()
    ) -> None:
        """`parts`: the experiments that are made one after the other, in place of the whole one."""
        self.run_id = experiment.run.id
        self._experiment = experiment
        self._parts = parts or (experiment,)
        self._store = store
        self._attempts: dict[str, list[Attempt]] = {case.id: [] for case in experiment.suite.cases}
        self._changed = threading.Condition()
        self.work: Future[None] = loop.start(self._perform())
        self.work.add_done_callback(lambda _: self._wake())

    async def _perform(self) -> None:
        for part in self._parts:
            async with aclosing(perform(part, self._store)) as attempts:
                async for attempt in attempts:
                    self._attempts[attempt.case_id].append(attempt)
                    self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def attempts(self, case: Case) -> list[Attempt]:
        found = self._attempts[case.id]
        with self._changed:
            self._changed.wait_for(lambda: len(found) >= self._experiment.run.repeats or self.work.done())
        if len(found) < self._experiment.run.repeats:
            self.work.result()
        return sorted(found, key=lambda attempt: attempt.repeat)

    def complete(self, case_ids: frozenset[str]) -> None:
        self.work.result()

    def close(self) -> None:
        self.work.cancel()
        try:
            self.work.exception()
        except CancelledError:
            return


class Reruns:
    """A separate run, linked to the first by `rerun_of` in its environment.

    It starts after the first run, so that it does not slow it down. Its repeats continue the first run's numbering, so
    each has a seed of its own. Under pytest-xdist one worker runs it.
    """

    def __init__(
        self, suite: Suite, of: SuiteRun, most: int, store: Store, loop: LoopThread, lock: SessionLock
    ) -> None:
        self._suite = suite
        self._of = of
        self._most = most
        self._store = store
        self._loop = loop
        self._lock = lock
        self._rescued: Mapping[str, int] | None = None

    def rescued(self) -> Mapping[str, int]:
        """The cases that passed in a rerun, and in which one (from 1). Waits for the run, then for the reruns."""
        if self._rescued is None:
            self._of.complete(frozenset(case.id for case in self._suite.cases))
            while "rescued" not in (facts := self._lock.published()):
                if self._lock.acquire():
                    self._make()
                else:
                    time.sleep(POLL_S)
            self._rescued = facts["rescued"]
        return self._rescued

    def _make(self) -> None:
        rescued: dict[str, int] = {}
        try:
            if failing := self._failing():
                rescued = self._loop.run(self._again(self._suite.only(failing)))
        finally:
            # Always announced, since other workers wait for it.
            self._lock.publish(rescued=rescued)
            self._lock.release()

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
                suite_backend(suite, endpoint) as backend,
                opened_context(suite, backend, self._store) as context,
            ):
                again = (self._rerun(case, context, experiment.run.id, places) for case in suite.cases)
                found = await asyncio.gather(*again)
            ended = "finished"
        finally:
            self._store.set_status(experiment.run.id, ended)
        return {case.id: number for case, number in zip(suite.cases, found, strict=True) if number is not None}

    async def _rerun(self, case: Case, context: RunContext, run_id: str, places: asyncio.Semaphore) -> int | None:
        first = self._suite.config.run.repeats
        for number in range(1, self._most + 1):
            async with places:
                attempt = await run_job(Job(case=case, repeat=first + number - 1), context)
            keep(self._store, run_id, attempt, case)
            if attempt.passed:
                return number
        return None
