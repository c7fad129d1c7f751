"""`agentbench compare`: two runs side by side."""

import json
from typing import Annotated

import typer

from agentbench.cli.runs import AsJson, Db


def compare_command(
    a: Annotated[str, typer.Argument(help="Run A: id, its start or end, label, latest or latest~N.")],
    b: Annotated[str, typer.Argument(help="Run B: the same.")],
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Compare two runs, paired on case: A − B with intervals, and what their configurations differ in."""
    from agentbench.report import compare_view
    from agentbench.report.compare_table import compare_report
    from agentbench.report.terminal import console
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        view = compare_view(store, store.get_run(a), store.get_run(b))
    if as_json:
        typer.echo(json.dumps(view.to_json(), indent=2, default=str))
        return
    out = console()
    out.print(compare_report(view, piped=not out.is_terminal))
