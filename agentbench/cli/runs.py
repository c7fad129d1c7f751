"""`agentbench runs` lists the stored runs; `show` prints a run or an attempt; `report` writes an HTML file."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agentbench.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from agentbench.core.attempt import Attempt
    from agentbench.core.run import Run
    from agentbench.store import Store

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentbench.report.report import Report


Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        help="Store: a SQLite file or a postgresql:// URL. Default: AGENTBENCH_DB or results/agentbench.db.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON.")]


def runs_command(
    limit: Annotated[int, typer.Option(min=1, help="Show at most this many runs.")] = 20,
    suite: Annotated[str | None, typer.Option(help="Show only runs of this suite.")] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """List the newest runs."""
    from agentbench.report.lists import runs_report, summary_json
    from agentbench.report.terminal import console
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        runs = store.list_runs(limit, suite)
    if as_json:
        typer.echo(json.dumps([summary_json(run) for run in runs], indent=2))
        return
    out = console()
    out.print(runs_report(runs, piped=not out.is_terminal) if runs else "No runs yet: agentbench run SUITE.")


def show_command(
    run: Annotated[str, typer.Argument(help="Run: id, its start or end, label, LABEL~N or latest~N.")] = "latest",
    case: Annotated[str | None, typer.Option("--case", help="Show the conversation of this case.")] = None,
    repeat: Annotated[int, typer.Option(min=0, help="Which repeat of the case, from 0.")] = 0,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Show a run's figures and cases, or with --case what was said."""
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        if case is None:
            print_run(store, store.get_run(run), as_json)
        else:
            _show_attempt(store, run, case, repeat, as_json)


def print_run(store: "Store", run: "Run", as_json: bool) -> None:
    """A run's figures and cases on standard output, as a table or as JSON."""
    from agentbench.report.run.table import run_report
    from agentbench.report.run.view import run_view
    from agentbench.report.terminal import console

    view = run_view(store, run)
    if as_json:
        # In pieces, since a run with many cases gives a long text.
        json.dump(view.to_json(), sys.stdout, indent=2, default=str)
        typer.echo()
        return
    out = console()
    out.print(run_report(view, piped=not out.is_terminal))


def _show_attempt(store: "Store", reference: str, case_id: str, repeat: int, as_json: bool) -> None:
    from agentbench.report.terminal import console
    from agentbench.report.transcript.terminal import transcript
    from agentbench.report.transcript.view import attempt_json

    run = store.get_run(reference)
    attempt = _attempt(store, run.id, case_id, repeat)
    case = store.case(run.id, case_id)
    if as_json:
        typer.echo(json.dumps(attempt_json(case, attempt, run.prices), indent=2, default=str))
    else:
        console().print(transcript(case, attempt, run.prices))


def _attempt(store: "Store", run_id: str, case_id: str, repeat: int) -> "Attempt":
    found = store.attempt(run_id, case_id, repeat)
    if found is not None:
        return found
    keys = store.stored_keys(run_id)
    repeats = sorted(number for stored, number in keys if stored == case_id)
    if repeats:
        raise UserError(f"case {case_id!r} has no repeat {repeat}. Valid: {', '.join(map(str, repeats))}.")
    hint = did_you_mean(case_id, {stored for stored, _ in keys})
    raise UserError(f"run {run_id} has no case {case_id!r}.{hint} agentbench show {run_id} lists its cases.")


def report_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]... | STUDY | SUITE | FILE...",
            help="Runs (id, its start or end, label, LABEL~N or latest~N; later ones are compared with the first),"
            " a study, a suite (its runs over time), or files that bench wrote. Default: latest.",
        ),
    ] = None,
    html: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it.")] = Path("report.html"),
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Write one page, all in one file: a run, runs compared, a suite over time, a study or a benchmark."""
    from agentbench.report.report import benchmark_report, find_report
    from agentbench.store import open_store

    if found := benchmark_report(names or []):
        _write(found, html, as_json)
        return
    with open_store(db, create=False) as store:
        _write(find_report(store, names or ["latest"], db), html, as_json)


def _write(report: "Report", path: Path, as_json: bool) -> None:
    from agentbench.report.html import html_of, write_html

    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2, default=str))
        return
    write_html(path, html_of(report.page()))
    typer.echo(f"agentbench: wrote {path}", err=True)
