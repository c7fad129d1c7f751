"""The console, and the tables and lines that reports print on it."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentbench.report.terminal_safe import line

PIPED_WIDTH = 100
"""Width in columns when the output is not a terminal."""

CASES_SHOWN = 40
"""Case ids in a line; --json has all."""


def console() -> Console:
    """A console on standard output. Markup is off, so that a model's text is never interpreted."""
    found = Console(markup=False, highlight=False, emoji=False)
    return found if found.is_terminal else Console(markup=False, highlight=False, emoji=False, width=PIPED_WIDTH)


def grid(title: str, *, piped: bool = False) -> Table:
    """An empty table in the reports' style; with `piped`, drawn in ASCII."""
    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.ASCII2 if piped else box.ROUNDED,
        border_style="dim",
        header_style="bold",
        pad_edge=True,
    )


def case_line(heading: str, ids: list[str] | tuple[str, ...], style: str, shown: int = CASES_SHOWN) -> Text:
    rest = f" … and {len(ids) - shown} more" if len(ids) > shown else ""
    return Text.assemble((heading, f"bold {style}"), "  ", ", ".join(line(i) for i in ids[:shown]), rest)
