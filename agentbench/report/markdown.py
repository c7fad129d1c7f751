"""What the Markdown of a gate and of a comparison is made of."""

from collections.abc import Sequence

from agentbench.report import figures
from agentbench.report.config_diff import ConfigChange
from agentbench.report.terminal_safe import line

LONGEST = 200
"""Of a configuration's value, in characters."""


def markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]<>()#+-.!|~@&" else mark for mark in line(text))


def cases(title: str, case_ids: Sequence[str], shown: int) -> list[str]:
    """A paragraph that names the first of the cases; none where there is no case."""
    if not case_ids:
        return []
    named = ", ".join(f"`{line(each).replace('`', '')}`" for each in case_ids[:shown])
    more = f" and {len(case_ids) - shown} more" if len(case_ids) > shown else ""
    return [f"**{title}** ({len(case_ids)}): {named}{more}\n"]


def configuration(changes: Sequence[ConfigChange], left: str, right: str) -> list[str]:
    """What two configurations differ in, as a table; `left` and `right` head its columns."""
    if not changes:
        return ["The configurations are the same.\n"]
    rows = (f"| {markdown(each.path)} | {_value(each.a)} | {_value(each.b)} |" for each in changes)
    return [f"| configuration | {left} | {right} |", "|---|---|---|", *rows, ""]


def _value(value: object) -> str:
    shown = line(str(value))
    return markdown(figures.NONE if value is None else shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…")
