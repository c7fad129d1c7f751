"""A suite's run under pytest-xdist: one worker runs it, the others read its attempts from the store.

When a worker dies, the attempts that were in flight are repeated one at a time, to find the one that ends the process.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter_ns
from typing import TypeVar

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.trace import Failure, Trace
from agentbench.plugin.loop_thread import LoopThread
from agentbench.plugin.suite_run import BatchRun
from agentbench.plugin.workers import POLL_S, SessionLock
from agentbench.run.experiment import Experiment
from agentbench.run.runner import WALL_ANCHOR_NS, Job, attempt_seed
from agentbench.run.storing import keep
from agentbench.store import Store

Key = tuple[str, int]
"""Case id and repeat."""

ENDED_ITS_PROCESS = (
    "the agent ended the process that it ran in (os._exit, or a crash of native code),"
    " and did so again when it ran alone"
)


class InFlight:
    """A file in the session's directory that lists the attempts a run began, and which of these ran alone."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def begin(self, key: Key, *, alone: bool) -> None:
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps([*key, alone]) + "\n")

    def unfinished(self, stored: set[Key]) -> dict[Key, bool]:
        """The attempts that began and are not stored, and whether each was alone in flight at the end.

        Of those that ran alone, only the last was in flight: the earlier ones had ended and waited to be stored.
        """
        if not self._file.exists():
            return {}
        # The last line may be cut off, since its process died.
        lines = self._file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        began = [((case_id, repeat), alone) for case_id, repeat, alone in map(json.loads, lines)]
        return {key: alone and key == began[-1][0] for key, alone in began if key not in stored}


@dataclass(frozen=True, kw_only=True)
class WatchedExperiment(Experiment):
    """An experiment that records the start of each attempt."""

    in_flight: InFlight
    alone: bool = False

    def jobs(self, stored: set[Key]) -> Iterator[Job]:
        for job in Experiment.jobs(self, stored):
            self.in_flight.begin((job.case.id, job.repeat), alone=self.alone)
            yield job

    def is_done(self, stored: set[Key]) -> bool:
        return next(Experiment.jobs(self, stored), None) is None


def parts(experiment: Experiment, in_flight: InFlight, store: Store) -> list[Experiment]:
    """The experiment in two parts: first, one at a time, the attempts in flight when its worker died; then the rest.

    An attempt that was alone at that time is stored as a failure of its agent.
    """
    left = in_flight.unfinished(store.stored_keys(experiment.run.id))
    for case_id, repeat in (key for key, alone in left.items() if alone):
        _blame(experiment, case_id, repeat, store)
    suspects = frozenset(case_id for (case_id, _), alone in left.items() if not alone)
    run, suite = experiment.run, experiment.suite
    rest = WatchedExperiment(run=run, suite=suite, in_flight=in_flight)
    if not suspects:
        return [rest]
    options = suite.config.run.model_copy(update={"concurrency": 1})
    apart = replace(suite.only(suspects), config=suite.config.model_copy(update={"run": options}))
    return [WatchedExperiment(run=run, suite=apart, in_flight=in_flight, alone=True), rest]


def _blame(experiment: Experiment, case_id: str, repeat: int, store: Store) -> None:
    case = next(case for case in experiment.suite.cases if case.id == case_id)
    now = perf_counter_ns()
    attempt = Attempt(
        case_id=case_id,
        cluster=case.cluster,
        repeat=repeat,
        seed=attempt_seed(experiment.suite.config.run.seed, case_id, repeat),
        tries=2,
        started_at=now,
        ended_at=now,
        wall_anchor_ns=WALL_ANCHOR_NS,
        trace=Trace(),
        failure=Failure(kind="agent", message=ENDED_ITS_PROCESS),
    )
    keep(store, experiment.run.id, attempt, case)


Found = TypeVar("Found")


class SharedRun:
    """A run that the session's workers share. The first worker executes it, at the suite's own concurrency.

    `start` plans the run, or continues the given one, whose worker died. No worker blocks an item of another, and none
    repeats an attempt, so that no distribution of items can cause a deadlock.
    """

    def __init__(
        self, lock: SessionLock, start: Callable[[str | None], Experiment], store: Store, loop: LoopThread
    ) -> None:
        self._lock = lock
        self._start = start
        self._store = store
        self._loop = loop
        self._batch: BatchRun | None = None

    @property
    def run_id(self) -> str:
        return str(self._wait(lambda: self._lock.published().get("run")))

    def attempts(self, case: Case) -> list[Attempt]:
        run = self._store.get_run(self.run_id)
        found: list[Attempt] = []

        def look() -> list[Attempt] | None:
            while len(found) < run.repeats:
                attempt = self._store.attempt(run.id, case.id, len(found))
                if attempt is None:
                    return None
                found.append(attempt)
            return found

        return self._wait(look)

    def complete(self, case_ids: frozenset[str]) -> None:
        run = self._store.get_run(self.run_id)
        wanted = {(case_id, repeat) for case_id in case_ids for repeat in range(run.repeats)}
        self._wait(lambda: wanted <= self._store.stored_keys(run.id) or None)

    def _wait(self, look: Callable[[], Found | None]) -> Found:
        """Waits for a result of `look`; meanwhile runs the attempts when no other worker does."""
        while (found := look()) is None:
            self._make()
            if self._batch is not None and self._batch.work.done():
                if (found := look()) is None:
                    self._batch.work.result()
                    raise UserError(
                        f"run {self._batch.run_id} ended without this case: the workers collected different cases"
                    )
                break
            if error := self._lock.published().get("error"):
                raise UserError(error)
            time.sleep(POLL_S)
        return found

    def _make(self) -> None:
        if self._batch is not None or "error" in self._lock.published() or not self._lock.acquire():
            return
        try:
            experiment = self._start(self._lock.published().get("run"))
        except UserError as error:
            self._lock.publish(error=str(error))
            raise
        self._lock.publish(run=experiment.run.id)
        run_parts = parts(experiment, InFlight(self._lock.in_flight), self._store)
        self._batch = BatchRun(experiment, self._store, self._loop, run_parts)
        self._batch.work.add_done_callback(self._ended)

    def _ended(self, work: "Future[None]") -> None:
        """Raises at once when the run ended early, since the others would wait for it."""
        try:
            error = work.exception()
        except CancelledError:
            error = UserError("the session ended before the run did")
        if error is not None:
            self._lock.publish(error=str(error) or type(error).__name__)

    def close(self) -> None:
        """The worker that runs the attempts stays until they are done, since the others wait for them."""
        if self._batch is not None:
            while not self._batch.work.done() and not self._lock.stopped():
                time.sleep(POLL_S)
            self._batch.close()
        self._lock.release()
