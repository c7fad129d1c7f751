"""`agentbench ui`: the store in a browser."""

from typing import Annotated

import typer

from agentbench.cli.review import Reviewer
from agentbench.cli.runs import Db


def ui_command(
    host: Annotated[
        str, typer.Option(help="Address to listen on. Other than loopback asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    review: Annotated[
        bool, typer.Option("--review", help="Let visitors label attempts, tag runs and write notes.")
    ] = False,
    reviewer: Reviewer = None,
    token: Annotated[
        str | None, typer.Option(help="Ask for this token; one is made where --host is not loopback.")
    ] = None,
    db: Db = None,
) -> None:
    """Show runs, studies and transcripts in a browser; with --review, label attempts there."""
    from agentbench.cli.review import reviewer_named
    from agentbench.store import open_store
    from agentbench.web.serving import Listening, serve

    name = reviewer_named(reviewer) if review else None
    with open_store(db, create=False) as store:
        serve(store, db, Listening(host=host, port=port, token=token), reviewer=name)
