"""What one pytest session holds: the store, the runs of its suites, and their servers."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from agentbench.config import parse_overrides
from agentbench.experiment import Experiment, backend_overrides, log_path, merged, plan, started_server
from agentbench.plugin.hooks import SESSION
from agentbench.plugin.loop_thread import LoopThread
from agentbench.plugin.reruns import Reruns
from agentbench.plugin.suite_run import BatchRun, SharedRun, SuiteRun
from agentbench.protocols import Endpoint
from agentbench.store import open_store
from agentbench.suite import Suite, load_suite


class SuiteSession:
    """Created when the first suite is collected; `close` stops the servers and says how each run ended."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._suites: dict[Path, Suite] = {}
        self._runs: dict[Path, SuiteRun] = {}
        self._private: dict[Hashable, SuiteRun] = {}
        self._reruns: dict[Path, Reruns] = {}
        self._owned: list[Experiment] = []
        self._loop = LoopThread()
        self.store = open_store(config.getoption("agentbench_db"))
        self.shared: Mapping[str, Any] = getattr(config, "workerinput", {}).get("agentbench", {})

    @classmethod
    def of(cls, config: pytest.Config) -> "SuiteSession":
        found = config.stash.get(SESSION, None)
        if found is None:
            found = config.stash[SESSION] = cls(config)
        return found

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """The runs that this process started (none in a pytest-xdist worker)."""
        return tuple(self._owned)

    def suite(self, path: Path) -> Suite:
        """The suite with the session's options applied and its cases drawn."""
        if path not in self._suites:
            self._suites[path] = load_suite(path, self.overrides()).drawn()
        return self._suites[path]

    @property
    def option(self) -> Callable[[str], Any]:
        """A command line option of ours by its name."""
        return lambda name: self._config.getoption(f"agentbench_{name}")

    @property
    def owns_runs(self) -> bool:
        """Whether this process ends runs and writes summaries: not in a pytest-xdist worker."""
        return not hasattr(self._config, "workerinput")

    def overrides(self) -> dict[str, Any]:
        option = self._config.getoption
        names = ("limit", "sample_seed", "repeats")
        run = {name: option(f"agentbench_{name}") for name in names}
        given = {f"run.{key}": value for key, value in run.items() if value is not None}
        backend = backend_overrides(option("agentbench_backend"))
        return merged(backend, parse_overrides(option("agentbench_set")), given)

    def run(self, path: Path, case_ids: frozenset[str]) -> SuiteRun:
        """The run that the suite's items take their attempts from, started at its first item."""
        if path not in self._runs:
            if str(path) in self.shared:
                self._runs[path] = self._shared_run(path)
            else:
                self._runs[path] = BatchRun(self._plan(path, case_ids), self.store, self._loop)
        return self._runs[path]

    def private_run(self, suite: Suite, key: Hashable) -> SuiteRun:
        """A run of a suite with options of its own, made once for `key`."""
        if key not in self._private:
            experiment = plan(suite, self.store, label="pytest")
            self._owned.append(experiment)
            self._private[key] = BatchRun(experiment, self.store, self._loop)
        return self._private[key]

    def reruns(self, path: Path, of: str) -> Reruns:
        """Where cases of run `of` are run again: a run of its own, which never changes the figures of the first."""
        if path not in self._reruns:
            self._reruns[path] = Reruns(self.suite(path), of, self.option("flake_reruns"), self.store, self._loop)
        return self._reruns[path]

    def _shared_run(self, path: Path) -> SharedRun:
        shared = self.shared[str(path)]
        experiment = Experiment(run=self.store.get_run(shared["run"]), suite=self.suite(path))
        endpoint = Endpoint(**shared["endpoint"]) if shared["endpoint"] else None
        return SharedRun(experiment, self.store, self._loop, endpoint)

    def share(self, path: Path) -> dict[str, Any]:
        """Start the suite's run and server here, for the workers to use."""
        suite = self.suite(path)
        experiment = self._plan(path, frozenset(case.id for case in suite.cases))
        endpoint = self._loop.enter(started_server(suite, log_path(experiment.run)))
        self.store.update_environment(experiment.run.id, {"server": dict(endpoint.info) if endpoint else {}})
        return {"run": experiment.run.id, "endpoint": asdict(endpoint) if endpoint else None}

    def _plan(self, path: Path, case_ids: frozenset[str]) -> Experiment:
        experiment = plan(self.suite(path).only(case_ids), self.store, label="pytest")
        self._owned.append(experiment)
        return experiment

    def close(self) -> None:
        for run in (*self._runs.values(), *self._private.values()):
            run.close()
        for reruns in self._reruns.values():
            reruns.close()
        self._loop.close()
        for experiment in self._owned:
            done = experiment.is_done(self.store.stored_keys(experiment.run.id))
            self.store.set_status(experiment.run.id, "finished" if done else "interrupted")
