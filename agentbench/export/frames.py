"""A stored run's tables as pandas data frames."""

from typing import TYPE_CHECKING, Any

from agentbench.errors import UserError
from agentbench.export.tables import TABLES, Column, Kind, Row, label_row, rows_of
from agentbench.extras import install_hint
from agentbench.store import Store

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
    for attempt, _ in store.whole_attempts(run_id):
        for table, row in rows_of(run_id, attempt):
            rows[table].append(row)
    rows["labels"] += [label_row(run_id, label) for label in store.labels(run_id)]
    return {
        name: pd.DataFrame({column.name: _series(pd, column, rows[name]) for column in columns})
        for name, columns in TABLES.items()
    }


def _series(pd: Any, column: Column, rows: list[Row]) -> Any:
    return pd.Series([row.get(column.name) for row in rows], dtype=DTYPES[column.kind])
