"""A stored run as tables, one file each: rows for each attempt, with every time on the wall clock.

Files are written row by row, so that a long run is never in memory.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from agentbench.atomic_write import atomic_write
from agentbench.core.attempt import Attempt, Label
from agentbench.core.errors import UserError
from agentbench.core.run import Run
from agentbench.core.trace import ModelCall, Step, ToolCall
from agentbench.extras import install_hint
from agentbench.stats.calls import CALL_METRICS, NS
from agentbench.store import Store
from agentbench.store.columns import escape, to_json

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter

Kind = Literal["text", "int", "float", "bool", "json"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind


def _table(*kinds: str) -> tuple[Column, ...]:
    """A table's columns from texts "kind: name name …", preceded by the key that joins the tables."""
    parts = (part.split(": ") for part in ("text: run_id case_id", "int: repeat", *kinds))
    return tuple(Column(name, cast(Kind, kind)) for kind, names in parts for name in names.split())


SPAN = ("int: started_at_ns ended_at_ns", "float: duration_s")
TABLES: Mapping[str, tuple[Column, ...]] = {
    "attempts": _table(
        "text: cluster",
        "int: seed tries",
        "bool: passed",
        "text: failure_kind failure_message",
        *SPAN,
        "float: cold_start_s",
        "int: model_calls tool_calls",
        "text: output",
        "json: end_state",
    ),
    "model_calls": _table(
        "int: position",
        "text: finish_reason error",
        "int: intended_at_ns sent_at_ns ended_at_ns",
        "float: " + " ".join(f"{name}_s" for name in CALL_METRICS),
        "int: prompt_tokens cached_tokens completion_tokens silent_chunks",
        "json: chunk_at_ns chunk_tokens messages request reply",
    ),
    "tool_calls": _table(
        "int: position", "text: call_id name", "json: arguments", "bool: executed", "text: result error", *SPAN
    ),
    "user_turns": _table("int: position", "json: messages state", *SPAN),
    "scores": _table("int: position", "text: name", "float: value", "bool: passed", "text: reason"),
    "labels": _table("text: reviewer", "bool: passed", "text: comment created_at"),
}
"""`position` counts an attempt's steps (or scores) from 0, the steps of every kind together."""


def rows_of(run_id: str, attempt: Attempt) -> Iterator[tuple[str, Row]]:
    """The attempt's rows, each with its table's name. Times are nanoseconds since the Unix epoch, or seconds."""
    key = {"run_id": run_id, "case_id": attempt.case_id, "repeat": attempt.repeat}
    yield "attempts", key | _attempt(attempt)
    for position, step in enumerate(attempt.trace.steps):
        table, values = _step(step, attempt.wall_anchor_ns)
        yield table, key | {"position": position} | values
    for position, score in enumerate(attempt.scores):
        values = {"name": score.name, "value": score.value, "passed": score.passed, "reason": score.reason}
        yield "scores", key | {"position": position} | values


def label_row(run_id: str, label: Label) -> Row:
    """A label's row; `created_at` is ISO 8601 in UTC."""
    return {
        "run_id": run_id,
        "case_id": label.case_id,
        "repeat": label.repeat,
        "reviewer": label.reviewer,
        "passed": label.passed,
        "comment": label.comment,
        "created_at": label.created_at.isoformat(),
    }


def _attempt(attempt: Attempt) -> Row:
    failure, trace = attempt.failure, attempt.trace
    return {
        "cluster": attempt.cluster,
        "seed": attempt.seed,
        "tries": attempt.tries,
        "passed": attempt.passed,
        "failure_kind": failure and failure.kind,
        "failure_message": failure and failure.message,
        **_span(attempt.started_at, attempt.ended_at, attempt.wall_anchor_ns),
        "cold_start_s": None if trace.cold_start_ns is None else trace.cold_start_ns * NS,
        "model_calls": len(trace.model_calls),
        "tool_calls": len(trace.tool_calls),
        "output": trace.output,
        "end_state": trace.state,
    }


def _span(started_at: int, ended_at: int, anchor: int) -> Row:
    return {
        "started_at_ns": anchor + started_at,
        "ended_at_ns": anchor + ended_at,
        "duration_s": (ended_at - started_at) * NS,
    }


def _step(step: Step, anchor: int) -> tuple[str, Row]:
    if isinstance(step, ModelCall):
        return "model_calls", _model_call(step, anchor)
    span = _span(step.started_at, step.ended_at, anchor)
    if isinstance(step, ToolCall):
        values = {name: getattr(step, name) for name in ("call_id", "name", "arguments", "executed", "result", "error")}
        return "tool_calls", values | span
    return "user_turns", {"messages": step.messages, "state": step.state, **span}


def _model_call(call: ModelCall, anchor: int) -> Row:
    counts = ("prompt_tokens", "cached_tokens", "completion_tokens", "chunk_tokens", "silent_chunks")
    values = {name: getattr(call, name) for name in ("finish_reason", "error", *counts, "messages", "request", "reply")}
    times = {f"{name}_ns": anchor + getattr(call, name) for name in ("intended_at", "sent_at", "ended_at")}
    metrics = {f"{name}_s": None if call.error else measure(call) for name, measure in CALL_METRICS.items()}
    return values | times | metrics | {"chunk_at_ns": [anchor + at for at in call.chunk_at]}


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
