"""The list of studies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from agentbench.report.plain import line
from agentbench.report.runs_table import STATUS
from agentbench.report.terminal import grid

if TYPE_CHECKING:
    from agentbench.store.studies import StudySummary

COLUMNS = ("Study", "Suite", "Status", "Candidates", "Search", "Started")


def studies_report(studies: "Sequence[StudySummary]", *, piped: bool = False) -> Table:
    """One line a study, the newest first."""
    table = grid("Studies", piped=piped)
    for name in COLUMNS:
        table.add_column(name)
    for study in studies:
        table.add_row(
            Text(line(study.name)),
            Text(line(study.suite)),
            Text(study.status, style=STATUS.get(study.status, "")),
            str(study.candidates),
            f"{study.seconds:.0f} s",
            f"{study.created_at:%Y-%m-%d %H:%M} UTC",
        )
    return table


def study_summary_json(study: "StudySummary") -> dict[str, Any]:
    """A study of the list, with the names that a study's own JSON has for the same facts."""
    return {
        "name": study.name,
        "suite": study.suite,
        "status": study.status,
        "created_at": study.created_at.isoformat(),
        "finished_at": study.finished_at and study.finished_at.isoformat(),
        "candidates": study.candidates,
        "search_s": study.seconds,
    }
