"""The parts that the Markdown of a gate and the Markdown of a comparison share."""

from collections.abc import Sequence

from agentbench.report import figures
from agentbench.report.config_diff import ConfigChange
from agentbench.report.terminal_safe import line

LONGEST_VALUE = 200
"""Characters of a configuration's value that are shown."""


def markdown(text: str) -> str:
    """Text escaped for Markdown, on one line."""
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]<>()#+-.!|~@&" else mark for mark in line(text))


def cases(title: str, case_ids: Sequence[str], shown: int) -> list[str]:
    """A paragraph with the first `shown` case ids; an empty list where there are no cases."""
    if not case_ids:
        return []
    named = ", ".join(f"`{line(each).replace('`', '')}`" for each in case_ids[:shown])
    more = f" and {len(case_ids) - shown} more" if len(case_ids) > shown else ""
    return [f"**{title}** ({len(case_ids)}): {named}{more}\n"]


def configuration(changes: Sequence[ConfigChange], left: str, right: str) -> list[str]:
    """The differences between two configurations as a table; `left` and `right` head its columns."""
    if not changes:
        return ["The configurations are the same.\n"]
    rows = (f"| {markdown(each.path)} | {_value(each.a)} | {_value(each.b)} |" for each in changes)
    return [f"| configuration | {left} | {right} |", "|---|---|---|", *rows, ""]


def _value(value: object) -> str:
    shown = line(str(value))
    if value is None:
        return markdown(figures.NONE)
    return markdown(shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}…")
