"""Two runs side by side as Markdown, for a pull request."""

from rich.text import Text

from agentbench.report.compare_table import CASES_SHOWN, Cell, metric_rows, verdict
from agentbench.report.compare_view import CompareView
from agentbench.report.markdown import cases, configuration, markdown


def compare_markdown(view: CompareView) -> str:
    """Verdict, table, what changed, what the configurations differ in, what limits the comparison."""
    parts = [f"## agentbench {markdown(view.a.run.suite)}: B against A", "", markdown(verdict(view).plain), ""]
    parts += [f"| metric | A: {markdown(view.a.title)} | B: {markdown(view.b.title)} | B − A (95 %) |"]
    parts += ["|---|---:|---:|---:|", *(f"| {' | '.join(map(_cell, row))} |" for row in metric_rows(view)), ""]
    parts += cases("Better in A", view.passes.better_in_a, CASES_SHOWN)
    parts += cases("Better in B", view.passes.better_in_b, CASES_SHOWN)
    parts += configuration(view.changes, "A", "B")
    parts += [f"_{markdown(note)}_\n" for note in view.notes]
    return "\n".join(parts)


def _cell(cell: Cell) -> str:
    lines = (cell.plain if isinstance(cell, Text) else cell).split("\n")
    return "<br>".join(markdown(each) for each in lines if each)
