"""Where an item's attempts come from: all of a suite's run together, or one at a time in a worker."""

import threading
import time
from concurrent.futures import CancelledError, Future
from contextlib import aclosing
from typing import Protocol

from agentbench.case import Case
from agentbench.experiment import Experiment, opened_backend, opened_bench, perform
from agentbench.keeping import keep
from agentbench.plugin.loop_thread import LoopThread
from agentbench.protocols import Endpoint
from agentbench.runner import Job, run_job
from agentbench.score import Attempt
from agentbench.store import Store

PATIENCE_S = 10.0
POLL_S = 0.2


class SuiteRun(Protocol):
    """The attempts of one suite in this session; `run_id` names the stored run."""

    run_id: str

    def attempts(self, case: Case) -> list[Attempt]:
        """Every repeat of the case, as they ended; waits for them."""
        ...

    def complete(self, case_ids: frozenset[str]) -> None:
        """Wait until every repeat of these cases is stored; raises what ended the run before."""
        ...

    def close(self) -> None: ...


class BatchRun:
    """Runs all selected cases at once in the background, so that the server can batch them.

    Items come in their own order and wait for their case.
    """

    def __init__(self, experiment: Experiment, store: Store, loop: LoopThread) -> None:
        self.run_id = experiment.run.id
        self._experiment = experiment
        self._store = store
        self._attempts: dict[str, list[Attempt]] = {case.id: [] for case in experiment.suite.cases}
        self._changed = threading.Condition()
        self._work: Future[None] = loop.start(self._perform())
        self._work.add_done_callback(lambda _: self._wake())

    async def _perform(self) -> None:
        async with aclosing(perform(self._experiment, self._store)) as attempts:
            async for attempt in attempts:
                self._attempts[attempt.case_id].append(attempt)
                self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def attempts(self, case: Case) -> list[Attempt]:
        found = self._attempts[case.id]
        with self._changed:
            self._changed.wait_for(lambda: len(found) >= self._experiment.run.repeats or self._work.done())
        if len(found) < self._experiment.run.repeats:
            self._work.result()
        return sorted(found, key=lambda attempt: attempt.repeat)

    def complete(self, case_ids: frozenset[str]) -> None:
        self._work.result()

    def close(self) -> None:
        self._work.cancel()
        try:
            self._work.exception()
        except CancelledError:
            return


class SharedRun:
    """Runs a case when its item comes, on a server that the pytest-xdist controller started."""

    def __init__(self, experiment: Experiment, store: Store, loop: LoopThread, endpoint: Endpoint | None) -> None:
        self.run_id = experiment.run.id
        self._experiment = experiment
        self._store = store
        self._loop = loop
        backend = loop.enter(opened_backend(experiment.suite, endpoint))
        self._bench = loop.enter(opened_bench(experiment.suite, backend, store))

    def attempts(self, case: Case) -> list[Attempt]:
        found = []
        for repeat in range(self._experiment.run.repeats):
            attempt = self._loop.run(run_job(Job(case=case, repeat=repeat), self._bench))
            keep(self._store, self.run_id, attempt, case)
            found.append(attempt)
        return found

    def complete(self, case_ids: frozenset[str]) -> None:
        """Waits for the other workers for as long as they get on, then runs itself what is missing.

        A case that another one has in flight is then run twice, and stored once.
        """
        missing = self._missing(case_ids)
        still_since = time.monotonic()
        while missing and time.monotonic() - still_since < PATIENCE_S:
            time.sleep(POLL_S)
            now = self._missing(case_ids)
            still_since = still_since if len(now) == len(missing) else time.monotonic()
            missing = now
        for job in missing:
            attempt = self._loop.run(run_job(job, self._bench))
            keep(self._store, self.run_id, attempt, job.case)

    def _missing(self, case_ids: frozenset[str]) -> list[Job]:
        jobs = self._experiment.jobs(self._store.stored_keys(self.run_id))
        return [job for job in jobs if job.case.id in case_ids]

    def close(self) -> None:
        return None
