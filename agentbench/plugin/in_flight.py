"""Attempts that were in flight when a pytest-xdist worker died: the one that ended it is found by making each alone."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter_ns

from agentbench.experiment import Experiment
from agentbench.keeping import keep
from agentbench.runner import WALL_ANCHOR_NS, Job, attempt_seed
from agentbench.score import Attempt
from agentbench.store import Store
from agentbench.trace import Failure, Trace

Key = tuple[str, int]
"""Case id and repeat."""

ENDED_ITS_PROCESS = (
    "the agent ended the process that it ran in (os._exit, or a crash of native code), and did so again alone"
)


class InFlight:
    """A file of the session's directory that says which attempts of a run began, and which of them were made alone."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def begin(self, key: Key, *, alone: bool) -> None:
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps([*key, alone]) + "\n")

    def unfinished(self, stored: set[Key]) -> dict[Key, bool]:
        """Those that began and are not stored, and whether each was alone in flight at the end.

        Of those made alone only the last was: the ones before it had ended, and waited to be stored.
        """
        if not self._file.exists():
            return {}
        # The last line may be cut off: its process died.
        whole = self._file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        began = [((case_id, repeat), alone) for case_id, repeat, alone in map(json.loads, whole)]
        return {key: alone and key == began[-1][0] for key, alone in began if key not in stored}


@dataclass(frozen=True, kw_only=True)
class WatchedExperiment(Experiment):
    """An experiment that says of each attempt that it begins."""

    in_flight: InFlight
    alone: bool = False

    def jobs(self, stored: set[Key]) -> Iterator[Job]:
        for job in Experiment.jobs(self, stored):
            self.in_flight.begin((job.case.id, job.repeat), alone=self.alone)
            yield job

    def is_done(self, stored: set[Key]) -> bool:
        return next(Experiment.jobs(self, stored), None) is None


def parts(experiment: Experiment, in_flight: InFlight, store: Store) -> list[Experiment]:
    """The experiment as it is made: first, one at a time, what was in flight when its worker died; then the rest.

    What was alone then is stored as a failure of its agent.
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
