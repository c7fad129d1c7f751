"""`agentbench report`: runs, a study or a benchmark as one HTML file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentbench.cli.runs import AsJson, Db

if TYPE_CHECKING:
    from agentbench.reporting import Report


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
    from agentbench.reporting import benchmark_report, find_report
    from agentbench.store import open_store

    if found := benchmark_report(names or []):
        _write(found, html, as_json)
        return
    with open_store(db, create=False) as store:
        _write(find_report(store, names or ["latest"], db), html, as_json)


def _write(report: "Report", path: Path, as_json: bool) -> None:
    from agentbench.report.chart_page import html_of
    from agentbench.report.html_file import write_html

    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2, default=str))
        return
    write_html(path, html_of(report.page()))
    typer.echo(f"agentbench: wrote {path}", err=True)
