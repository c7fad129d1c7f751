"""`agentbench runs`: the runs in the store."""

import json
from typing import Annotated

import typer

Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        help="Store: a SQLite file or a postgresql:// URL. Default: AGENTBENCH_DB or results/agentbench.db.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def runs_command(
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many runs.")] = 20,
    suite: Annotated[str | None, typer.Option(help="Show only runs of this suite.")] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """List the newest runs."""
    from agentbench.report.runs_table import runs_report, summary_json
    from agentbench.report.terminal import console
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        runs = store.list_runs(limit, suite)
    if as_json:
        typer.echo(json.dumps([summary_json(run) for run in runs], indent=2))
        return
    out = console()
    out.print(runs_report(runs, piped=not out.is_terminal) if runs else "No runs yet: agentbench run SUITE.")
