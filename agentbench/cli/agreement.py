"""`agentbench agreement`: how far scorers and reviewers agree."""

import json
from typing import Annotated

import typer

from agentbench.cli.runs import AsJson, Db


def agreement_command(
    run: Annotated[str, typer.Argument(help="Run: id, its start or end, label, LABEL~N or latest~N.")] = "latest",
    scorer: Annotated[str | None, typer.Option(help="Hold just this scorer against the reviewers.")] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Compare the scorers' verdicts with people's labels, and the reviewers with each other (Cohen's kappa)."""
    from agentbench.report.agreement_table import agreement_report
    from agentbench.report.agreement_view import agreement_view
    from agentbench.report.terminal import console
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        view = agreement_view(store, store.get_run(run), scorer)
    if as_json:
        typer.echo(json.dumps(view.to_json(), indent=2))
        return
    out = console()
    out.print(agreement_report(view, piped=not out.is_terminal))
