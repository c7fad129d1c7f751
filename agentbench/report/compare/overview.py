"""A comparison of several runs as a table for the terminal and as Markdown for a pull request: a row for each run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentbench.report import figures
from agentbench.report.compare.charts import LETTERS
from agentbench.report.compare.table import compare_markdown, compare_report, verdict
from agentbench.report.compare.view import RunsView, front, runs_config_diff
from agentbench.report.markdown import LONGEST_VALUE, markdown
from agentbench.report.run.view import RunView
from agentbench.report.terminal import grid
from agentbench.report.terminal_safe import line

COLUMNS = ("Accuracy\n95 % interval", "Agent\ngoodput/s", "TTFT\np50", "Output\ntokens/s", "Pareto\nfront")
Row = tuple[str, ...]


def runs_report(view: RunsView, *, piped: bool = False) -> RenderableType:
    """Two runs side by side, or more with a row each."""
    if len(view.runs) > 2:
        return overview_report(view, piped=piped)
    return compare_report(view.comparisons[0], piped=piped)


def runs_markdown(view: RunsView) -> str:
    """The same as Markdown."""
    return overview_markdown(view) if len(view.runs) > 2 else compare_markdown(view.comparisons[0])


def overview_report(view: RunsView, *, piped: bool = False) -> RenderableType:
    """A row for each run, what goodput and the front are, the verdict of each later run against the first, and what
    the configurations differ in."""
    table = grid(line(view.heading), piped=piped)
    table.add_column("Run", style="bold", overflow="fold")
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    for row in overview_rows(view):
        table.add_row(*map(_cell, row), style="" if row[-1] == ON_FRONT else "dim")
    parts: list[RenderableType] = [table, Text(explanation(view), style="dim"), Text()]
    parts += [Text(each, style="yellow" if each.startswith("Note: ") else "") for each in verdict_lines(view)]
    parts += [Text(), *(Text(line(each)) for each in configuration_lines(view))]
    return Group(*parts)


def _cell(text: str) -> Text:
    """A cell whose second line is dim."""
    first, separator, second = text.partition("\n")
    return Text.assemble(first, separator, (second, "dim"))


ON_FRONT = "on it"


def overview_rows(view: RunsView) -> list[Row]:
    """Name, accuracy, goodput, TTFT, throughput, and whether the run is on the front. A second line of a cell has the
    model or the interval."""
    best = front(view.runs, "agent_goodput_per_s")
    return [_row(letter, run, run.run.id in best) for letter, run in zip(LETTERS, view.runs, strict=False)]


def _row(letter: str, run: RunView, on_front: bool) -> Row:
    accuracy, serving = run.accuracy, run.serving
    around = figures.interval(accuracy) or figures.no_interval(accuracy)
    return (
        f"{letter}  {line(run.title)}\n   {line(run.model)}",
        f"{figures.percent(accuracy.value if accuracy else None)}\n{around}",
        figures.rate(serving.agent_goodput_per_s),
        figures.seconds(serving.ttft_p50_s),
        figures.at_least(figures.rate(serving.output_tokens_per_s), serving.uncounted_timed),
        ON_FRONT if on_front else figures.NONE,
    )


def explanation(view: RunsView) -> str:
    """What goodput counts and what the front is."""
    return (
        f"Agent goodput: right answers a second{_within(view.objectives)}. On the Pareto front: no other run is at"
        " least as good in accuracy and goodput, and better in one."
    )


def _within(objectives: Mapping[str, float] | None) -> str:
    if objectives is None:
        return " within each run's own time limits"
    return f" with {figures.limits(objectives)}" if objectives else ""


def verdict_lines(view: RunsView) -> list[str]:
    """The verdict of each later run against the first, each followed by its notes."""
    lines = []
    family = sum(map(len, view.adjusted))
    for letter, each, adjusted in zip(LETTERS[1:], view.comparisons, view.adjusted, strict=False):
        found = verdict(replace(each, adjusted=adjusted), letter, family)
        lines += [f"{letter} against A: {found.plain}", *(f"Note: {letter} against A: {line(n)}" for n in each.notes)]
    return lines


def configuration_lines(view: RunsView) -> list[str]:
    """Each path in which the configurations differ, with the runs of each value."""
    differences = runs_config_diff(view.runs)
    if not differences:
        return ["The configurations are the same."]
    return [f"{path}: {_values(values)}" for path, values in differences.items()]


def _values(values: Sequence[Any]) -> str:
    """The letters of the runs that share a value, with the value."""
    letters: dict[str, str] = {}
    for letter, value in zip(LETTERS, values, strict=False):
        shown = figures.NONE if value is None else line(str(value))
        letters[shown] = letters.get(shown, "") + letter
    return "; ".join(f"{', '.join(of)} {shown[:LONGEST_VALUE]}" for shown, of in letters.items())


def overview_markdown(view: RunsView) -> str:
    """The table, the verdicts and the differences of the configurations."""
    head = ("Run", *COLUMNS)
    rows = (f"| {' | '.join(map(_markdown_cell, row))} |" for row in overview_rows(view))
    parts = [f"## agentbench {markdown(view.heading)}", ""]
    parts += [f"| {' | '.join(name.replace(chr(10), ' ') for name in head)} |", "|---" + "|---:" * len(COLUMNS) + "|"]
    parts += [*rows, "", markdown(explanation(view)), ""]
    parts += [f"- {markdown(each)}" for each in verdict_lines(view)]
    parts += ["", *(f"- {markdown(each)}" for each in configuration_lines(view)), ""]
    return "\n".join(parts)


def _markdown_cell(text: str) -> str:
    return "<br>".join(markdown(each.strip()) for each in text.split("\n") if each.strip())
