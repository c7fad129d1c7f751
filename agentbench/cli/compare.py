"""`agentbench compare`: two runs side by side."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from agentbench.cli.runs import AsJson, Db

if TYPE_CHECKING:
    from agentbench.gating import Gating
    from agentbench.report import CompareView


def compare_command(
    a: Annotated[str, typer.Argument(help="Run A, the earlier one: id, its start or end, label, LABEL~N or latest~N.")],
    b: Annotated[str, typer.Argument(help="Run B: the same.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")] = False,
    gate: Annotated[
        bool, typer.Option("--gate", help="Judge B by its suite's gate with A as baseline; exit code 1 when it fails.")
    ] = False,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Compare two runs, paired on case: the change from A to B (B − A) with intervals, and what their configurations
    differ in."""
    from agentbench.gating import gate_options, judge
    from agentbench.report import compare_view
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        run_a, run_b = store.get_run(a), store.get_run(b)
        view = compare_view(store, run_a, run_b)
        gating = judge(store, run_b, gate_options(run_b, baseline=run_a.id)) if gate else None
    if as_json:
        judged = {"gate": gating.to_json()} if gating else {}
        typer.echo(json.dumps(view.to_json() | judged, indent=2, default=str))
    else:
        _print(view, gating, markdown)
    if gating and not gating.verdict.passed:
        raise typer.Exit(1)


def _print(view: "CompareView", gating: "Gating | None", markdown: bool) -> None:
    from agentbench.report.compare_markdown import compare_markdown
    from agentbench.report.compare_table import compare_report
    from agentbench.report.gate_text import gate_lines, gate_markdown, verdict_line
    from agentbench.report.terminal import console

    if markdown:
        typer.echo(compare_markdown(view))
    else:
        out = console()
        out.print(compare_report(view, piped=not out.is_terminal))
    if gating is None:
        return
    if markdown:
        typer.echo(gate_markdown(f"gate of {view.b.title}", gating, []))
    else:
        typer.echo("\n".join(gate_lines(gating)))
        typer.echo(verdict_line(gating))
