"""`agentbench export` and `import`: a run from its store to files, and a run or traces into a store."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentbench.cli.runs import Db
from agentbench.core.errors import UserError

if TYPE_CHECKING:
    from agentbench.core.run import Run
    from agentbench.store import Store

ExportFormat = Literal["parquet", "csv", "jsonl", "run", "otlp"]


def export_command(
    run: Annotated[str, typer.Argument(help="Run: id, its start or end, label, LABEL~N or latest~N.")],
    out: Annotated[Path | None, typer.Option("--out", help="Directory for the tables, or the file.")] = None,
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="Tables (parquet, csv, jsonl), one file for `import` (run), or OpenTelemetry traces (otlp).",
        ),
    ] = "jsonl",
    force: Annotated[bool, typer.Option("--force", help="Replace existing files at --out.")] = False,
    otlp: Annotated[
        str | None,
        typer.Option(
            "--otlp",
            metavar="ENDPOINT",
            help="Send its spans to this collector (http://localhost:4318), or with `env` to that of"
            " OTEL_EXPORTER_OTLP_ENDPOINT.",
        ),
    ] = None,
    db: Db = None,
) -> None:
    """Write a run's tables to a directory, all of it to one file, or send its traces to a collector."""
    from agentbench.store import open_store

    if (out is None) == (otlp is None):
        raise UserError("give --out PATH to write a file or a directory, or --otlp ENDPOINT to send traces")
    with open_store(db, create=False) as store:
        found = store.get_run(run)
        if otlp is not None:
            from agentbench.export.otel import send_otel

            counts, where = send_otel(store, found, None if otlp == "env" else otlp), f"sent to {otlp}"
        else:
            assert out is not None
            counts, where = _written(store, found, form, out, force), f"written to {out}"
    typer.echo(f"{found.id}: {_counted(counts)} {where}")


def _written(store: "Store", run: "Run", form: ExportFormat, out: Path, force: bool) -> Mapping[str, int]:
    from agentbench.export.otel import write_otel
    from agentbench.export.run_file import write_run_file
    from agentbench.export.tables import export_tables

    if form == "run":
        return write_run_file(store, run, out, force=force)
    if form == "otlp":
        return write_otel(store, run, out, force=force)
    return export_tables(store, run, form, out, force=force)


def import_command(
    file: Annotated[
        Path,
        typer.Argument(help="A file that `agentbench export --format run` made, or OpenTelemetry traces (OTLP JSON)."),
    ],
    suite: Annotated[str | None, typer.Option(help="For traces: the suite to store them under.")] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=LOW:HIGH", help="For traces: the scale of a score that is not from 0 to 1."),
    ] = None,
    db: Db = None,
) -> None:
    """Put the run of a file, or the traces in it as a run, into the store: all of it, or nothing."""
    from agentbench.export.otel_import import import_traces
    from agentbench.export.otlp import is_traces
    from agentbench.export.run_file import read_run_file
    from agentbench.store import open_store

    with open_store(db) as store:
        if is_traces(file):
            run, counts, new = import_traces(file, store, suite, dict(map(_scale, scale or ())))
        else:
            run, counts, new = read_run_file(file, store)
    result = "imported" if new else "is stored already, with the same content"
    typer.echo(f"{run.id} {result}: {_counted(counts)}")


def _scale(text: str) -> tuple[str, tuple[float, float]]:
    name, _, bounds = text.rpartition("=")
    low, _, high = bounds.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (0.0, 0.0)
    if not name or not -math.inf < found[0] < found[1] < math.inf:
        raise UserError(f"--scale {text!r}: expected NAME=LOW:HIGH, for example helpfulness=1:5")
    return name, found


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items() if count) or "no attempts"
