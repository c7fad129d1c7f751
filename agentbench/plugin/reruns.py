"""Failing cases run again: to show what is flaky, never to raise a figure."""

from agentbench.case import Case
from agentbench.experiment import Experiment, log_path, opened_backend, opened_bench, plan, started_server
from agentbench.keeping import keep
from agentbench.plugin.loop_thread import LoopThread
from agentbench.runner import Bench, Job, run_job
from agentbench.store import Store
from agentbench.suite import Suite


class Reruns:
    """A run of its own, linked to the first by `rerun_of` in its environment; its server starts when it is needed.

    Repeats count on from the first run's, so that each has a seed of its own.
    """

    def __init__(self, suite: Suite, of: str, most: int, store: Store, loop: LoopThread) -> None:
        self._suite = suite
        self._of = of
        self._most = most
        self._store = store
        self._loop = loop
        self._experiment: Experiment | None = None
        self._bench: Bench | None = None

    def rescued(self, case: Case) -> int | None:
        """Which rerun of the case was right (from 1), None when none was."""
        first = self._suite.config.run.repeats
        for number in range(1, self._most + 1):
            experiment, bench = self._opened()
            attempt = self._loop.run(run_job(Job(case=case, repeat=first + number - 1), bench))
            keep(self._store, experiment.run.id, attempt, case)
            if attempt.passed:
                return number
        return None

    def _opened(self) -> tuple[Experiment, Bench]:
        if self._experiment is None or self._bench is None:
            facts = {"rerun_of": self._of}
            experiment = self._experiment = plan(self._suite, self._store, label=f"rerun of {self._of}", facts=facts)
            endpoint = self._loop.enter(started_server(self._suite, log_path(experiment.run)))
            backend = self._loop.enter(opened_backend(self._suite, endpoint))
            self._bench = self._loop.enter(opened_bench(self._suite, backend, self._store))
        return self._experiment, self._bench

    def close(self) -> None:
        if self._experiment is not None:
            self._store.set_status(self._experiment.run.id, "finished")
