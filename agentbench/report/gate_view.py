"""A gate's verdict as the terminal and a JSON file show it."""

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentbench.report.plain import line
from agentbench.report.terminal import case_line
from agentbench.stats import GateVerdict

CASES_SHOWN = 12


def gate_report(verdict: GateVerdict) -> RenderableType:
    """Each check on a line, what failed first; under a failed comparison the cases that got worse."""
    checks = Table.grid(padding=(0, 1))
    for check in sorted(verdict.checks, key=lambda check: check.passed):
        mark = Text("ok", style="green") if check.passed else Text("FAILED", style="bold red")
        checks.add_row(mark, Text(check.name, style="bold"), Text(line(check.said)))
    headline = Text("Gate passed", style="bold green") if verdict.passed else Text("Gate failed", style="bold red")
    return Group(headline, checks, *_worse(verdict))


def _worse(verdict: GateVerdict) -> list[Text]:
    found = verdict.comparison
    if verdict.passed or found is None or not found.better_in_b:
        return []
    return [case_line(f"Worse than the baseline ({len(found.better_in_b)})", found.better_in_b, "red", CASES_SHOWN)]


def gate_json(verdict: GateVerdict) -> dict[str, Any]:
    """`passed`, and each check's name, `passed` and `said`; `comparison` is run − baseline, in fractions."""
    return {
        "passed": verdict.passed,
        "checks": [asdict(check) for check in verdict.checks],
        "comparison": verdict.comparison and asdict(verdict.comparison),
    }
