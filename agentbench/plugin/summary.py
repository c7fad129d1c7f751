"""The suites' quality and serving tables at the end of a pytest session."""

from pathlib import Path

import pytest
from rich.console import Console

from agentbench.gating import gate_options, judge_run, judge_strictly
from agentbench.plugin.session import SuiteSession
from agentbench.report import run_view
from agentbench.report.gate_summary import summary_markdown
from agentbench.report.terminal import run_report


def write_summary(reporter: pytest.TerminalReporter, session: SuiteSession) -> None:
    """Write the table of each run that this session made, and the file asked for, then let go of the store."""
    for run_id in session.run_ids:
        run = session.store.get_run(run_id)
        reporter.section(f"agentbench: {run.suite}")
        reporter.write_line(_as_text(run_report(run_view(session.store, run), piped=not reporter.hasmarkup)))
    if session.run_ids and (file := session.option("summary")):
        _write_markdown(Path(file), session)
    session.store.close()


def _write_markdown(file: Path, session: SuiteSession) -> None:
    """Adds to the file, since a CI job's other steps may write there too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    named = session.option("baseline")
    with file.open("a", encoding="utf-8") as out:
        for run_id in session.run_ids:
            run = session.store.get_run(run_id)
            judge = judge_run if run.environment.get("mode") == "gate" else judge_strictly
            gating = judge(session.store, run, gate_options(run, **({"baseline": named} if named else {})))
            out.write(summary_markdown(gating, session.store) + "\n")


def _as_text(report: object) -> str:
    console = Console(markup=False, highlight=False, emoji=False, width=100, no_color=True)
    with console.capture() as capture:
        console.print(report)
    return capture.get().rstrip()
