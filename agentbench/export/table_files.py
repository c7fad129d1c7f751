"""Exports a stored run as tables, one file each.

Files are written row by row, so that a long run is never in memory.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from agentbench.core.errors import UserError
from agentbench.export.tables import TABLES, Column, Row
from agentbench.extras import install_hint
from agentbench.store.columns import escape, to_json

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter

from contextlib import closing

from agentbench.atomic_write import atomic_write
from agentbench.core.run import Run
from agentbench.export.tables import label_row, rows_of
from agentbench.store import Store

Format = Literal["parquet", "csv", "jsonl"]
ROW_GROUP = 2000
"""Rows of a Parquet row group, and so of what is in memory of a table."""


class TableWriter(Protocol):
    """Writes the rows of one table to its open file; `close` is called once in any case."""

    def write(self, row: Row) -> None: ...

    def close(self) -> None: ...


class TableFiles:
    """A directory with a file for each table, also for one without rows: `DIRECTORY/attempts.csv` and so on."""

    def __init__(self, directory: Path, form: Format) -> None:
        self.counts = dict.fromkeys(TABLES, 0)
        self._writers: dict[str, TableWriter] = {}
        self._open = ExitStack()
        for name, columns in TABLES.items():
            writer = WRITERS[form](directory / f"{name}.{form}", columns)
            self._writers[name] = writer
            self._open.callback(writer.close)

    def write(self, table: str, row: Row) -> None:
        self._writers[table].write(row)
        self.counts[table] += 1

    def close(self) -> None:
        self._open.close()


class JsonLines:
    """One JSON object a line, in ASCII, so that any text survives."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        self._file = path.open("w", encoding="ascii", newline="\n")

    def write(self, row: Row) -> None:
        self._file.write(to_json({name: row[name] for name in self._names}) + "\n")

    def close(self) -> None:
        self._file.close()


class Csv:
    """RFC 4180 in UTF-8 with a header; None is an empty cell, bools are true and false, JSON is text.

    Characters that UTF-8 or CSV readers can't hold (lone surrogates, U+0000) are escaped as in the store. A text that a
    spreadsheet would evaluate gets a leading apostrophe. So does a text that starts with an apostrophe, so that
    removing the first one restores it.
    """

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow([column.name for column in columns])

    def write(self, row: Row) -> None:
        self._writer.writerow([_cell(column, row[column.name]) for column in self._columns])

    def close(self) -> None:
        self._file.close()


def _cell(column: Column, value: Any) -> str | int | float:
    if column.kind == "json":
        return to_json(value)
    if value is None:
        return ""
    if column.kind == "bool":
        return json.dumps(bool(value))
    return _harmless(escape(value)) if column.kind == "text" else value


COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
"""What a cell begins with that a spreadsheet takes for a formula, or for a mark of text."""


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(COMPUTED) else text


class Parquet:
    """Typed columns, compressed. JSON is text, and text that UTF-8 can't hold is escaped as in the store."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise UserError(f"Parquet needs pyarrow: {install_hint('parquet')}, or --format jsonl") from None
        types = {
            "text": pyarrow.string(),
            "json": pyarrow.string(),
            "int": pyarrow.int64(),
            "float": pyarrow.float64(),
            "bool": pyarrow.bool_(),
        }
        self._columns = columns
        self._schema = pyarrow.schema([(column.name, types[column.kind]) for column in columns])
        self._record_batch = pyarrow.RecordBatch.from_pylist
        self._writer: ParquetWriter = parquet.ParquetWriter(path, self._schema)
        self._rows: list[Row] = []

    def write(self, row: Row) -> None:
        self._rows.append({column.name: _value(column, row[column.name]) for column in self._columns})
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(self._record_batch(self._rows, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        try:
            self._flush()
        finally:
            self._writer.close()


def _value(column: Column, value: Any) -> Any:
    if column.kind == "json":
        return to_json(value)
    return escape(value) if column.kind == "text" and value is not None else value


WRITERS: Mapping[Format, Callable[[Path, Sequence[Column]], TableWriter]] = {
    "parquet": Parquet,
    "csv": Csv,
    "jsonl": JsonLines,
}


def export_tables(store: Store, run: Run, form: Format, directory: Path, *, force: bool = False) -> Mapping[str, int]:
    """Writes the run's tables to `directory`, and returns each table's number of rows.

    An attempt with a person's verdict has the verdict of its labels.
    """
    with atomic_write(directory, force=force) as draft:
        draft.mkdir()
        with closing(TableFiles(draft, form)) as files:
            for attempt, _ in store.attempts_with_cases(run.id):
                for table, row in rows_of(run.id, attempt):
                    files.write(table, row)
            for label in store.labels(run.id):
                files.write("labels", label_row(run.id, label))
    return files.counts
