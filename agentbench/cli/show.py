"""`agentbench show`: a run, or one attempt of it as a conversation."""

import json
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from agentbench.cli.runs import AsJson, Db
from agentbench.errors import UserError

if TYPE_CHECKING:
    from agentbench.run import Run
    from agentbench.score import Attempt
    from agentbench.store import Store


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
    from agentbench.report import run_view
    from agentbench.report.terminal import console, run_report

    view = run_view(store, run)
    if as_json:
        # Piece by piece: a run of many cases has a long text.
        json.dump(view.to_json(), sys.stdout, indent=2, default=str)
        typer.echo()
        return
    out = console()
    out.print(run_report(view, piped=not out.is_terminal))


def _show_attempt(store: "Store", reference: str, case_id: str, repeat: int, as_json: bool) -> None:
    from agentbench.report.attempt_json import attempt_json
    from agentbench.report.terminal import console
    from agentbench.report.transcript import transcript

    run_id = store.get_run(reference).id
    attempt = _attempt(store, run_id, case_id, repeat)
    case = store.case(run_id, case_id)
    if as_json:
        typer.echo(json.dumps(attempt_json(case, attempt), indent=2, default=str))
    else:
        console().print(transcript(case, attempt))


def _attempt(store: "Store", run_id: str, case_id: str, repeat: int) -> "Attempt":
    found = store.attempt(run_id, case_id, repeat)
    if found is not None:
        return found
    keys = store.stored_keys(run_id)
    repeats = sorted(number for stored, number in keys if stored == case_id)
    if repeats:
        raise UserError(f"case {case_id!r} has no repeat {repeat}. Valid: {', '.join(map(str, repeats))}.")
    near = get_close_matches(case_id, {stored for stored, _ in keys}, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise UserError(f"run {run_id} has no case {case_id!r}.{hint} agentbench show {run_id} lists its cases.")
