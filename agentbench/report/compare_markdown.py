"""Two runs side by side as Markdown, for a pull request."""

from rich.text import Text

from agentbench.report import figures
from agentbench.report.compare_table import CASES_SHOWN, Cell, metric_rows, verdict
from agentbench.report.compare_view import CompareView
from agentbench.report.gate_text import markdown
from agentbench.report.plain import line

LONGEST = 200
"""Of a configuration's value, in characters."""


def compare_markdown(view: CompareView) -> str:
    """Verdict, table, what changed, what the configurations differ in, what limits the comparison."""
    parts = [f"## agentbench {markdown(view.a.run.suite)}: A against B", "", markdown(verdict(view).plain), ""]
    parts += [f"| metric | A: {markdown(view.a.title)} | B: {markdown(view.b.title)} | A − B (95 %) |"]
    parts += ["|---|---:|---:|---:|", *(f"| {' | '.join(map(_cell, row))} |" for row in metric_rows(view)), ""]
    parts += _cases("Better in A", view.passes.better_in_a) + _cases("Better in B", view.passes.better_in_b)
    parts += _configuration(view)
    parts += [f"_{markdown(note)}_\n" for note in view.notes]
    return "\n".join(parts)


def _cell(cell: Cell) -> str:
    lines = (cell.plain if isinstance(cell, Text) else cell).split("\n")
    return "<br>".join(markdown(each) for each in lines if each)


def _cases(title: str, ids: tuple[str, ...]) -> list[str]:
    if not ids:
        return []
    shown = ", ".join(f"`{line(each).replace('`', '')}`" for each in ids[:CASES_SHOWN])
    more = f" and {len(ids) - CASES_SHOWN} more" if len(ids) > CASES_SHOWN else ""
    return [f"**{title}** ({len(ids)}): {shown}{more}\n"]


def _configuration(view: CompareView) -> list[str]:
    if not view.changes:
        return ["The configurations are the same.\n"]
    rows = (f"| {markdown(each.path)} | {_value(each.a)} | {_value(each.b)} |" for each in view.changes)
    return ["| configuration | A | B |", "|---|---|---|", *rows, ""]


def _value(value: object) -> str:
    shown = line(str(value))
    return markdown(figures.NONE if value is None else shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…")
