"""The state of a pytest process: the store and the runs of its suites."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pytest

from agentbench.core.errors import UserError
from agentbench.plugin.loop_thread import LoopThread
from agentbench.plugin.options import baselines_directory, database, overrides
from agentbench.plugin.shared_run import SharedRun
from agentbench.plugin.stash import SESSION
from agentbench.plugin.suite_run import BatchRun, Reruns, SuiteRun
from agentbench.plugin.workers import SessionLock, shared_directory
from agentbench.run.experiment import Experiment, plan
from agentbench.store import Store, open_store
from agentbench.suite.suite import Suite, load_suite


class SuiteSession:
    """Created when the first suite is collected. `close` stops the servers; `settle` sets each run's final status."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._suites: dict[Path, Suite] = {}
        self._runs: dict[str, SuiteRun] = {}
        self._failed: dict[str, str] = {}
        self._reruns: dict[str, Reruns] = {}
        self._owned: list[str] = []
        self._loop = LoopThread()
        self._shared = shared_directory(config)
        self._alone = tempfile.TemporaryDirectory(prefix="agentbench-")
        self._left_alone: list[Path] = []
        self._settled = False
        self.baselines = baselines_directory(config)

    @cached_property
    def store(self) -> Store:
        """The store, opened on first use: a session that only collects creates none."""
        return open_store(database(self._config))

    @classmethod
    def of(cls, config: pytest.Config) -> "SuiteSession":
        found = config.stash.get(SESSION, None)
        if found is None:
            found = config.stash[SESSION] = cls(config)
        return found

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs that this process reports: all of the session's; none in a pytest-xdist worker."""
        return tuple(self._owned)

    def option(self, name: str) -> Any:
        """The value of one of the plugin's command line options."""
        return self._config.getoption(f"agentbench_{name}")

    def suite(self, path: Path) -> Suite:
        """The suite with the session's options applied and its cases drawn."""
        if path not in self._suites:
            self._suites[path] = load_suite(path, self.overrides()).drawn()
        return self._suites[path]

    def leave_alone(self, path: Path) -> None:
        """Remember a file with a suite's name that belongs to another tool."""
        self._left_alone.append(path)

    def left_alone(self) -> list[str]:
        return [f"agentbench: not a suite (no dataset, scorers or agent in it): {path}" for path in self._left_alone]

    def overrides(self) -> dict[str, Any]:
        return overrides(self._config)

    def run(self, path: Path, case_ids: frozenset[str]) -> SuiteRun:
        """The run behind the suite's items, started at its first item."""
        return self._run(f"suite {path}", self.suite(path).only(case_ids))

    def private_run(self, suite: Suite, options: Mapping[str, Any]) -> SuiteRun:
        """A run of a suite with its own options, shared by all requests with the same options."""
        return self._run(f"private {suite.path} {sorted(options.items())!r}", suite)

    def reruns(self, path: Path, case_ids: frozenset[str]) -> Reruns:
        """A separate run of the failing cases; it changes no figure of the first run."""
        run = self.run(path, case_ids)
        if run.run_id not in self._reruns:
            lock = SessionLock(self._shared or Path(self._alone.name), f"rerun of {run.run_id}")
            suite = self.suite(path).only(case_ids)
            most = self.option("flake_reruns")
            self._reruns[run.run_id] = Reruns(suite, run, most, self.store, self._loop, lock)
        return self._reruns[run.run_id]

    def _run(self, key: str, suite: Suite) -> SuiteRun:
        if key not in self._runs:
            start = partial(self._start, suite)
            if self._shared is not None:
                self._runs[key] = SharedRun(SessionLock(self._shared, key), start, self.store, self._loop)
            else:
                experiment = self._started(key, start)
                self._owned.append(experiment.run.id)
                self._runs[key] = BatchRun(experiment, self.store, self._loop)
        return self._runs[key]

    def _start(self, suite: Suite, begun: str | None) -> Experiment:
        """Starts a new run, or continues one."""
        if begun is not None:
            return Experiment(run=self.store.get_run(begun), suite=suite)
        return plan(suite, self.store, label="pytest")

    def _started(self, key: str, start: Callable[[None], Experiment]) -> Experiment:
        """Starts a run once; an error that prevents it is remembered and raised for every item."""
        if key in self._failed:
            raise UserError(self._failed[key])
        try:
            return start(None)
        except UserError as error:
            self._failed[key] = str(error)
            raise

    def adopt(self, run_ids: Sequence[str]) -> None:
        """Take over reporting of the workers' runs."""
        self._owned += run_ids

    def close(self) -> None:
        """End the runs and their servers."""
        for run in self._runs.values():
            run.close()
        self._loop.close()
        self._alone.cleanup()

    def settle(self) -> None:
        """Set each run's final status, after all have ended. A run without any attempt is deleted."""
        if self._settled:
            return
        self._settled = True
        self._owned = [run_id for run_id in self._owned if not self.store.discard_empty(run_id)]
        for run_id in self._owned:
            run = self.store.get_run(run_id)
            done = len(self.store.stored_keys(run_id)) >= len(run.case_ids) * run.repeats
            self.store.set_status(run_id, "finished" if done else "interrupted")

    def close_store(self) -> None:
        if "store" in self.__dict__:
            self.store.close()


def check_store(config: pytest.Config) -> None:
    """Reports a store that can't be opened once, before the first item; in a worker, each item reports it."""
    if config.getoption("collectonly") or shared_directory(config) is not None:
        return
    try:
        assert SuiteSession.of(config).store
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
