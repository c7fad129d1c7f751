"""The agreement of raters as tables."""

from rich.console import Group, RenderableType
from rich.text import Text

from agentbench.report import figures
from agentbench.report.agreement_view import AgreementView
from agentbench.report.plain import line
from agentbench.report.terminal import grid
from agentbench.stats.agreement import Agreement


def agreement_report(view: AgreementView, *, piped: bool = False) -> RenderableType:
    """A row for each pair of raters: the counts, how often they agree, and κ with its interval."""
    table = grid(f"Agreement in {line(view.run.id)}", piped=piped)
    table.add_column("A", style="bold")
    table.add_column("B", style="bold")
    for heading in ("Both pass", "A only", "B only", "Both fail", "Agree"):
        table.add_column(heading, justify="right")
    table.add_column("Cohen's κ")
    for pair in view.pairs:
        (both, a_only), (b_only, neither) = pair.table
        counts = [str(number) for number in (both, a_only, b_only, neither)]
        agreed = figures.percent(pair.agreement)
        table.add_row(Text(line(pair.a)), Text(line(pair.b)), *counts, agreed, _kappa(pair))
    return Group(table, Text(_footing(view), style="dim"))


def _kappa(pair: Agreement) -> str:
    if pair.kappa is None:
        return pair.note
    if pair.low is None or pair.high is None:
        return f"{pair.kappa:.2f} ({pair.note})"
    return f"{pair.kappa:.2f}, 95 %: {pair.low:.2f} to {pair.high:.2f}"


def _footing(view: AgreementView) -> str:
    if not view.labelled:
        return "No labels yet: agentbench review RUN, or agentbench label RUN CASE pass|fail."
    tied = f"; on {view.tied} of them the reviewers are even" if view.tied else ""
    return f"{view.labelled} attempts have a label{tied}. “A only” counts those that A passes and B fails."
