"""Stored runs in a notebook: their tables as pandas data frames, and the terminal's report of a run or a comparison."""

from typing import TYPE_CHECKING, Any

from agentbench.core.errors import UserError
from agentbench.export.tables import TABLES, Column, Kind, Row, label_row, rows_of
from agentbench.extras import install_hint
from agentbench.store import Store

if TYPE_CHECKING:
    import pandas as pd

from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType

from agentbench.report.compare.table import compare_report
from agentbench.report.compare.view import CompareView, compare_view
from agentbench.report.run.table import run_report
from agentbench.report.run.view import RunView, run_view
from agentbench.store import open_store

if TYPE_CHECKING:
    import pandas as pd


DTYPES: dict[Kind, str] = {
    "text": "string",
    "int": "Int64",
    "float": "Float64",
    "bool": "boolean",
    "json": "object",
}
"""Of pandas, those that know of a value that is not there."""


def frames(store: Store, run_id: str) -> dict[str, "pd.DataFrame"]:
    """A frame for each table of `TABLES`, with its columns. `UserError` when pandas is not installed."""
    try:
        import pandas as pd
    except ImportError:
        raise UserError(f"data frames need pandas: {install_hint('notebook')}") from None
    rows: dict[str, list[Row]] = {name: [] for name in TABLES}
    for attempt, _ in store.attempts_with_cases(run_id):
        for table, row in rows_of(run_id, attempt):
            rows[table].append(row)
    rows["labels"] += [label_row(run_id, label) for label in store.labels(run_id)]
    return {
        name: pd.DataFrame({column.name: _series(pd, column, rows[name]) for column in columns})
        for name, columns in TABLES.items()
    }


def _series(pd: Any, column: Column, rows: list[Row]) -> Any:
    return pd.Series([row.get(column.name) for row in rows], dtype=DTYPES[column.kind])


WIDTH = 110
FORMAT = '<pre style="line-height:1.2;font-family:Menlo,Consolas,monospace;overflow-x:auto">{code}</pre>'


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRun:
    """A stored run at the time it was loaded: all its figures, and its tables.

    `tables` has a data frame for each table that `agentbench export` writes: attempts, model_calls, tool_calls,
    user_turns, scores, labels. Columns that end in _s are seconds, in _ns nanoseconds since the Unix epoch.
    """

    view: RunView
    tables: Mapping[str, "pd.DataFrame"]

    @property
    def attempts(self) -> "pd.DataFrame":
        """One row an attempt: case, repeat, verdict, failure, times, what it came to."""
        return self.tables["attempts"]

    @property
    def model_calls(self) -> "pd.DataFrame":
        """One row a model call: TTFT, TPOT, latency, tokens, messages and reply."""
        return self.tables["model_calls"]

    @property
    def tool_calls(self) -> "pd.DataFrame":
        """One row a tool call: arguments, result, error, times."""
        return self.tables["tool_calls"]

    @property
    def scores(self) -> "pd.DataFrame":
        """One row a score of an attempt: scorer, value from 0 to 1, whether it passed, why."""
        return self.tables["scores"]

    def __repr__(self) -> str:
        return f"<run {self.view.run.id}: {len(self.attempts)} attempts of {self.view.run.suite}>"

    def _repr_html_(self) -> str:
        return _html(run_report(self.view))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedComparison:
    """Two runs compared, paired on case: the change from A to B (B − A)."""

    view: CompareView

    def __repr__(self) -> str:
        return f"<comparison of {self.view.a.run.id} and {self.view.b.run.id}>"

    def _repr_html_(self) -> str:
        return _html(compare_report(self.view))


def load(run: str = "latest", *, db: str | None = None) -> LoadedRun:
    """The run of this name, as on the command line: id, start or end of one, label, latest, latest~N.

    `db` is the store; by default that of AGENTBENCH_DB, otherwise results/agentbench.db. `UserError` when there is no
    such run or store, or pandas is not installed.
    """
    with open_store(db, create=False) as store:
        found = store.get_run(run)
        return LoadedRun(view=run_view(store, found), tables=frames(store, found.id))


def compare(a: str, b: str, *, db: str | None = None) -> LoadedComparison:
    """Two runs, named as for `load`."""
    with open_store(db, create=False) as store:
        return LoadedComparison(view=compare_view(store, store.get_run(a), store.get_run(b)))


def _html(report: RenderableType) -> str:
    """The terminal's output, escaped, with its colours."""
    console = Console(record=True, file=StringIO(), width=WIDTH, markup=False, highlight=False, emoji=False)
    console.print(report)
    return console.export_html(inline_styles=True, code_format=FORMAT)
