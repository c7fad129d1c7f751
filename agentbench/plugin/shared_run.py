"""A suite's run under pytest-xdist: one worker makes it, the others find its attempts in the store."""

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TypeVar

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.experiment import Experiment
from agentbench.plugin.in_flight import InFlight, parts
from agentbench.plugin.loop_thread import LoopThread
from agentbench.plugin.once import POLL_S, Once
from agentbench.plugin.suite_run import BatchRun
from agentbench.score import Attempt
from agentbench.store import Store

Found = TypeVar("Found")


class SharedRun:
    """Made by the worker that comes first, at the concurrency that the suite asks for, whatever the number of workers.

    `start` plans the run, or takes up the one it is given, whose worker died. No worker holds an item back while it
    waits, and none makes an attempt twice, so that no way of distributing items can lock them up.
    """

    def __init__(self, once: Once, start: Callable[[str | None], Experiment], store: Store, loop: LoopThread) -> None:
        self._once = once
        self._start = start
        self._store = store
        self._loop = loop
        self._batch: BatchRun | None = None

    @property
    def run_id(self) -> str:
        return str(self._wait(lambda: self._once.told().get("run")))

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
        """What `look` finds, as soon as it does; makes the run meanwhile when no other worker does."""
        while (found := look()) is None:
            self._make()
            if self._batch is not None and self._batch.work.done():
                if (found := look()) is None:
                    self._batch.work.result()
                    raise UserError(f"run {self._batch.run_id} ended without this case: the workers collected others")
                break
            if error := self._once.told().get("error"):
                raise UserError(error)
            time.sleep(POLL_S)
        return found

    def _make(self) -> None:
        if self._batch is not None or "error" in self._once.told() or not self._once.take():
            return
        try:
            experiment = self._start(self._once.told().get("run"))
        except UserError as error:
            self._once.tell(error=str(error))
            raise
        self._once.tell(run=experiment.run.id)
        made = parts(experiment, InFlight(self._once.in_flight), self._store)
        self._batch = BatchRun(experiment, self._store, self._loop, made)
        self._batch.work.add_done_callback(self._ended)

    def _ended(self, work: "Future[None]") -> None:
        """Says at once why the run ended early: the others would wait for it."""
        try:
            error = work.exception()
        except CancelledError:
            error = UserError("the session ended before the run did")
        if error is not None:
            self._once.tell(error=str(error) or type(error).__name__)

    def close(self) -> None:
        """The worker that makes the run stays until it is done, since the others wait for it."""
        if self._batch is not None:
            while not self._batch.work.done() and not self._once.stopped():
                time.sleep(POLL_S)
            self._batch.close()
        self._once.leave()
