"""`agentbench compare` shows runs side by side; `gate` judges a stored run; `power` computes how many cases a gate
needs.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentbench.cli.runs import AsJson, Db
from agentbench.core.errors import UserError

if TYPE_CHECKING:
    from agentbench.gate.judge import Gating
    from agentbench.report.compare.view import RunsView
    from agentbench.store import Store


def compare_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Two runs or more, the earlier one first: id, its start or end, label, LABEL~N or latest~N.",
        ),
    ],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request.")] = False,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="Of two runs, judge the second by its suite's gate with the first as baseline; exit code 1"
            " if it fails.",
        ),
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the comparison as a self-contained page too.")
    ] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Compare runs, paired on case: what changed from the first to each later one, with intervals, and what their
    configurations differ in. Three runs or more are a table with a row each and the Pareto front of accuracy and
    goodput."""
    from agentbench.gate.judge import gate_options, judge
    from agentbench.report.compare.view import runs_view
    from agentbench.store import open_store

    if gate and len(runs) != 2:
        raise UserError(f"--gate judges one run against another: {len(runs)} runs given; give two")
    with open_store(db, create=False) as store:
        found = [store.get_run(run) for run in runs]
        view = runs_view(store, found)
        gating = judge(store, found[1], gate_options(found[1], baseline=found[0].id)) if gate else None
        if html is not None:
            _write_page(html, view, store)
    if as_json:
        judged = {"gate": gating.to_json()} if gating else {}
        of_two = view.comparisons[0] if len(runs) == 2 else view
        typer.echo(json.dumps(of_two.to_json() | judged, indent=2, default=str))
    else:
        _print(view, gating, markdown)
    if html is not None:
        typer.echo(f"agentbench: wrote {html}", err=True)
    if gating and not gating.verdict.passed:
        raise typer.Exit(1)


def _write_page(path: Path, view: "RunsView", store: "Store") -> None:
    from agentbench.report.compare.page import runs_page
    from agentbench.report.html import html_of, write_html

    write_html(path, html_of(runs_page(view, store)))


def _print(view: "RunsView", gating: "Gating | None", markdown: bool) -> None:
    from agentbench.report.compare.overview import runs_markdown, runs_report
    from agentbench.report.gate import gate_lines, gate_markdown, verdict_line
    from agentbench.report.terminal import console

    if markdown:
        typer.echo(runs_markdown(view))
    else:
        out = console()
        out.print(runs_report(view, piped=not out.is_terminal))
    if gating is None:
        return
    if markdown:
        typer.echo(gate_markdown(f"gate of {view.runs[1].title}", gating, []))
    else:
        typer.echo("\n".join(gate_lines(gating)))
        typer.echo(verdict_line(gating))


def gate_command(
    run: Annotated[str, typer.Argument(help="The run: id, its start or end, label, LABEL~N or latest~N.")],
    baseline: Annotated[str | None, typer.Option(help="A baseline's name, or a run, to compare it with.")] = None,
    min_pass_rate: Annotated[float | None, typer.Option(min=0, max=1, help="Minimum pass rate (a fraction).")] = None,
    min_pass_hat_k: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Minimum pass^k of the run's k repeats (a fraction)."),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(min=0, max=1, help="Test non-inferiority: at most this much worse (a fraction).")
    ] = None,
    slo: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE=LIMIT", help="A limit such as ttft_p95=500ms or goodput=2; may be repeated."),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Add the verdict to this file, as Markdown.")] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Judge a run by its suite's gate; exit code 0 when it passes, 1 when it does not."""
    from agentbench.gate.judge import gate_options, judge
    from agentbench.report.gate import gate_lines, verdict_line
    from agentbench.store import open_store

    options = {"baseline": baseline, "min_pass_rate": min_pass_rate, "min_pass_hat_k": min_pass_hat_k, "margin": margin}
    changes: dict[str, object] = {key: value for key, value in options.items() if value is not None}
    if margin is not None:
        changes["test"] = "non_inferiority"
    if slo:
        changes["slo"] = dict(_limit(each) for each in slo)
    with open_store(db, create=False) as store:
        found = store.get_run(run)
        gating = judge(store, found, gate_options(found, **changes))
        if markdown is not None:
            _append(markdown, gating, store)
    if as_json:
        typer.echo(json.dumps(gating.to_json(), indent=2, default=str))
    else:
        typer.echo("\n".join(gate_lines(gating)))
        typer.echo(verdict_line(gating))
    if not gating.verdict.passed:
        raise typer.Exit(1)


def _limit(text: str) -> tuple[str, str]:
    name, separator, limit = text.partition("=")
    if not separator:
        raise UserError(f"--slo {text!r}: expected FIGURE=LIMIT, for example ttft_p95=500ms")
    return name, limit


def _append(file: Path, gating: "Gating", store: "Store") -> None:
    from agentbench.report.gate import summary_markdown

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.write(summary_markdown(gating, store) + "\n")


def power_command(
    difference: Annotated[float, typer.Option(help="The drop in pass rate to be found (0.05 = 5 points).")],
    pass_rate: Annotated[float, typer.Option(help="The pass rate expected of the baseline.")],
    flips: Annotated[
        float | None,
        typer.Option(help="Share of verdicts that differ between two equal runs.", show_default="half of chance"),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Repeats of each case.")] = 1,
    alpha: Annotated[float, typer.Option(help="Share of unchanged runs that the gate may fail.")] = 0.05,
    power: Annotated[float, typer.Option(help="Probability with which the drop is to be found.")] = 0.8,
) -> None:
    """Say how many cases a regression gate needs to find a drop in pass rate."""
    from agentbench.stats.power import cases_needed, planned

    for name, value in (("pass-rate", pass_rate), ("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise UserError(f"--{name} {value:g} is not between 0 and 1; give a fraction, as in --{name} 0.8")
    found = pass_rate * (1 - pass_rate) if flips is None else flips
    cases = cases_needed(difference, pass_rate, found, repeats, alpha, power)
    reached = planned(cases, pass_rate, found, repeats).of(difference, alpha)
    runs = f" × {repeats} repeats" if repeats > 1 else ""
    typer.echo(
        f"{cases} cases{runs} find a drop of {100 * difference:g} points from {100 * pass_rate:g} %"
        f" with power {reached:.2f} (α = {alpha:g}, {100 * found:.1f} % of verdicts flip between equal runs)"
    )
