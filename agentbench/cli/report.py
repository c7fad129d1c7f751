"""`agentbench report`: a run as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from agentbench.cli.runs import Db


def report_command(
    run: Annotated[str, typer.Argument(help="The run: id, its start or end, label, latest or latest~N.")] = "latest",
    html: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it.")] = Path("report.html"),
    db: Db = None,
) -> None:
    """Write a page of a run: figures, latencies, what attempts did, the cases that were not right; in one file."""
    from agentbench.report.html_file import write_html
    from agentbench.report.run_page import page_of, run_page
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        page = page_of(store, store.get_run(run))
    write_html(html, run_page(page))
    typer.echo(f"agentbench: wrote {html}", err=True)
