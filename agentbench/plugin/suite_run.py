"""Where an item's attempts come from: a suite's run, all of it at once, so that the server can batch."""

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from contextlib import aclosing
from typing import Protocol

from agentbench.case import Case
from agentbench.experiment import Experiment, perform
from agentbench.plugin.loop_thread import LoopThread
from agentbench.score import Attempt
from agentbench.store import Store


class SuiteRun(Protocol):
    """The attempts of one suite in this session; `run_id` names the stored run."""

    @property
    def run_id(self) -> str: ...

    def attempts(self, case: Case) -> list[Attempt]:
        """Every repeat of the case, as they ended; waits for them, and raises what ended the run before."""
        ...

    def complete(self, case_ids: frozenset[str]) -> None:
        """Wait until every repeat of these cases is stored; raises what ended the run before."""
        ...

    def close(self) -> None: ...


class BatchRun:
    """Runs all selected cases in the background; items come in their own order and wait for their case."""

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
