"""Lists of runs and of studies, as tables and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from agentbench.report.terminal import grid
from agentbench.report.terminal_safe import line
from agentbench.store import RunSummary

if TYPE_CHECKING:
    from agentbench.store.studies import StudySummary


KIND_REMARKS = {"part": "a part", "rerun": "a rerun"}
"""The remark for each kind of run whose label does not show the kind."""

STATUS = {"running": "yellow", "finished": "green", "interrupted": "red"}


def runs_report(runs: Sequence[RunSummary], *, piped: bool = False) -> Table:
    """One line a run, the newest first."""
    table = grid("Runs", piped=piped)
    table.add_column("Run", style="bold", overflow="fold")
    table.add_column("Label", style="cyan", overflow="fold")
    table.add_column("Started (UTC)", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Right/wrong/failed", justify="right")
    for run in runs:
        counts = f"{run.passed}/{run.wrong}/{run.failed} of {run.planned}"
        if run.waiting:
            counts += f", {run.waiting} waiting"
        if run.kind in KIND_REMARKS:
            counts += f", {KIND_REMARKS[run.kind]}"
        table.add_row(
            Text(line(run.id)),
            Text(line(run.label)),
            f"{run.created_at:%m-%d %H:%M}",
            Text(run.status, style=STATUS.get(run.status, "")),
            counts,
        )
    return table


def summary_json(run: RunSummary) -> dict[str, Any]:
    """A listed run, under the keys that `RunView.to_json` uses for the same values."""
    return {
        "id": run.id,
        "label": run.label,
        "suite": run.suite,
        "suite_version": run.suite_version,
        "config_hash": run.config_hash,
        "kind": run.kind,
        "status": run.status,
        "created_at": run.created_at.isoformat(),
        "finished_at": run.finished_at and run.finished_at.isoformat(),
        "attempts_planned": run.planned,
        "attempts_right": run.passed,
        "attempts_wrong": run.wrong,
        "attempts_failed": run.failed,
        "attempts_waiting": run.waiting,
    }


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
    """A listed study, under the keys that a study's own JSON uses for the same values."""
    return {
        "name": study.name,
        "suite": study.suite,
        "status": study.status,
        "created_at": study.created_at.isoformat(),
        "finished_at": study.finished_at and study.finished_at.isoformat(),
        "candidates": study.candidates,
        "search_s": study.seconds,
    }
