"""`agentbench export` and `import`: a run taken out of its store, and a run put into one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from agentbench.cli.runs import Db

ExportFormat = Literal["parquet", "csv", "jsonl", "run"]


def export_command(
    run: Annotated[str, typer.Argument(help="Run: id, its start or end, label, latest or latest~N.")],
    out: Annotated[Path, typer.Option("--out", help="Directory for the tables, or the run file.")],
    form: Annotated[
        ExportFormat, typer.Option("--format", help="Tables (parquet, csv, jsonl), or one file for `import` (run).")
    ] = "jsonl",
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
    db: Db = None,
) -> None:
    """Write a run's tables to a directory, or all of it to one file."""
    from agentbench.export.run_file import write_run_file
    from agentbench.export.run_tables import export_tables
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        found = store.get_run(run)
        if form == "run":
            counts = write_run_file(store, found, out, force=force)
        else:
            counts = export_tables(store, found, form, out, force=force)
    typer.echo(f"{found.id}: {_counted(counts)} written to {out}")


def import_command(
    file: Annotated[Path, typer.Argument(help="A file that `agentbench export --format run` made.")],
    db: Db = None,
) -> None:
    """Put the run of a file into the store: all of it, or nothing."""
    from agentbench.export.run_file import read_run_file
    from agentbench.store import open_store

    with open_store(db) as store:
        run, counts, new = read_run_file(file, store)
    said = "imported" if new else "is here already, with the same content"
    typer.echo(f"{run.id} {said}: {_counted(counts)}")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items() if count) or "no attempts"
