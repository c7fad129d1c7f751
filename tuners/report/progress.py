"""The live table of a running study on a terminal; elsewhere nothing is drawn."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agentbench.report.terminal import grid
from tuners.engine.evaluator import LiveEvaluator
from tuners.report.words import COLUMNS, candidate_row, row
from tuners.search.budget import Spending
from tuners.search.candidate import Candidate
from tuners.search.rungs import Climb

SHOWN = 20
"""Ended candidates in the table, the newest ones."""


class StudyProgress:
    """Draws the candidates in progress, the last ended ones, the spent budget, and the number of cached answers."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._phase = ""
        self._climbing: dict[int, Climb] = {}
        self._ended: list[Candidate] = []
        self._attempts = 0
        self._spending: Spending | None = None
        self._evaluator: LiveEvaluator | None = None
        console = Console(stderr=True)
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=2, transient=True)
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        if self._shown:
            self._live.start()
        return self

    def spend(self, spending: Spending, evaluator: LiveEvaluator) -> None:
        self._spending, self._evaluator = spending, evaluator

    def begin(self, phase: str) -> None:
        self._phase = phase

    def climb(self, climb: Climb) -> None:
        self._climbing[climb.number] = climb

    def end(self, candidate: Candidate) -> None:
        self._climbing.pop(candidate.number, None)
        self._ended.append(candidate)

    def attempt(self) -> None:
        self._attempts += 1

    def _table(self) -> RenderableType:
        table = grid(f"study {self._name} · {self._phase}")
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in ("what changed", "") else "right")
        for candidate in self._ended[-SHOWN:]:
            table.add_row(*map(Text, candidate_row(candidate)))
        for climb in self._climbing.values():
            self._add(table, climb)
        return Group(table, Text(self._spent(), style="dim"))

    def _add(self, table: Table, climb: Climb) -> None:
        cells = row(
            climb.number,
            climb.configuration.settings,
            climb.rung,
            climb.mean,
            climb.figures,
            climb.case_runs,
            climb.seconds,
            "…",
        )
        table.add_row(*map(Text, cells), style="cyan")

    def _spent(self) -> str:
        if self._spending is None or self._evaluator is None:
            return ""
        most, spent = self._spending.options, self._spending
        parts = [
            f"{_of(spent.trials, most.trials)} candidates",
            f"{_of(spent.case_runs, most.case_runs)} case-runs",
            f"{_of(round(spent.seconds), most.seconds)} s",
            f"{self._evaluator.cached} from the cache",
            f"{self._attempts} attempts run by this process",
        ]
        return "  ".join(parts)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._live.stop()


def _of(count: int, limit: float | None) -> str:
    return f"{count}" if limit is None else f"{count} of {limit:g}"
