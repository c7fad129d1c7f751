"""pytest's hooks; each only delegates. Imported by every pytest run, so it imports nothing heavy."""

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentbench.plugin.arguments import add_options, check_summary, is_suite
from agentbench.plugin.item_reports import ItemReports, mark_report
from agentbench.plugin.selection import Selection
from agentbench.plugin.stash import HANDED_OUT_AGAIN, SESSION, SHOWN_AS

if TYPE_CHECKING:
    from agentbench.plugin.agent_run import AgentRun

SHOWN = {
    "missed": ("missed", "m", ("MISSED", {"yellow": True})),
    "broken": ("broken", "b", ("BROKEN", {"yellow": True})),
    "rescued": ("rescued", "r", ("RESCUED", {"yellow": True})),
}
"""Category, letter and word of each."""


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "agent_suite(path, *, repeats, limit, sample_seed, backend, set): the suite that the fixture agent_run runs;"
        " every item of a suite.yaml has it too",
    )
    config.pluginmanager.register(ItemReports(), ItemReports.NAME)
    config.pluginmanager.register(Selection(), "agentbench_selection")
    check_summary(config)
    if config.getoption("agentbench_set") or config.getoption("agentbench_backend"):
        from agentbench.plugin.options import check_options

        check_options(config)


@pytest.fixture
def agent_run(request: pytest.FixtureRequest) -> "AgentRun":
    """The run of the suite that the test's `agent_suite` marker names; tests that ask for the same share one."""
    from agentbench.plugin.agent_run import agent_run_of

    return agent_run_of(request)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not is_suite(file_path, parent.session):
        return None
    from agentbench.plugin.items import SuiteCollector

    return SuiteCollector.from_parent(parent, path=file_path)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    session = config.stash.get(SESSION, None)
    return [] if session is None else session.left_alone()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return mark_report(item, (yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return mark_report(collector, (yield))


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> Any:
    if report.outcome == HANDED_OUT_AGAIN:
        return HANDED_OUT_AGAIN, "R", ("RERUN", {"yellow": True})
    said = dict(getattr(report, "user_properties", ())).get(SHOWN_AS)
    if report.when == "call" and report.passed and said in SHOWN:
        return SHOWN[said]
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A pytest-xdist worker is about to start: the controller makes no run, and answers for those of the workers."""
    from agentbench.plugin.workers import share_directory

    share_directory(node.config, node.workerinput)


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: Any) -> None:
    """A worker died while it waited for this item's attempts: which of them ended it is found out by who goes on."""
    from agentbench.plugin.workers import hand_out_again

    hand_out_again(crashitem, report, sched)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Around the others': before them, so that JUnit XML has the runs' figures; after, when the workers are gone."""
    from agentbench.plugin.ending import after_workers, before_workers

    try:
        before_workers(session.config)
        yield
    finally:
        after_workers(session)


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    found = config.stash.get(SESSION, None)
    if found is not None:
        from agentbench.plugin.summary import write_tables

        write_tables(terminalreporter, found)
