"""The suites' quality and serving tables at the end of a pytest session."""

import pytest
from rich.console import Console

from agentbench.plugin.session import SuiteSession
from agentbench.report import run_view
from agentbench.report.terminal import run_report


def write_summary(reporter: pytest.TerminalReporter, session: SuiteSession) -> None:
    """Write the table of each run that this session made, then let go of the store."""
    for experiment in session.experiments:
        run = session.store.get_run(experiment.run.id)
        reporter.section(f"agentbench: {run.suite}")
        reporter.write_line(_as_text(run_report(run_view(session.store, run), piped=not reporter.hasmarkup)))
    session.store.close()


def _as_text(report: object) -> str:
    console = Console(markup=False, highlight=False, emoji=False, width=100, no_color=True)
    with console.capture() as capture:
        console.print(report)
    return capture.get().rstrip()
