"""The progress of a run: a bar on a terminal, nothing elsewhere."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agentbench.core.attempt import Attempt
from agentbench.report.run.case_outcomes import verdict_of
from agentbench.run.experiment import Experiment
from agentbench.store import Store


class RunProgress:
    """Counts right, wrong, failed and waiting attempts as they end; writes to stderr only."""

    def __init__(self, experiment: Experiment, store: Store) -> None:
        self._total = len(experiment.suite.cases) * experiment.run.repeats
        self._stored = len(store.stored_keys(experiment.run.id))
        self._title = experiment.run.label or experiment.run.suite
        self._counts = dict.fromkeys(("right", "wrong", "failed", "waiting"), 0)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task(
            self._title, total=self._total, completed=self._stored, counts="starting the server"
        )
        return self

    def advance(self, attempt: Attempt) -> None:
        self._counts[verdict_of(attempt)] += 1
        counts = "  ".join(f"{count} {name}" for name, count in self._counts.items() if count)
        self._progress.update(self._task, advance=1, counts=counts)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
