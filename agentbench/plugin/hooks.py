"""pytest's hooks; each only delegates. Imported by every pytest run, so it imports nothing heavy."""

from argparse import ArgumentTypeError
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentbench.plugin.agent_run import AgentRun
    from agentbench.plugin.session import SuiteSession

SHOWN_AS = "agentbench"
"""The user property that says how an item is shown that did not pass and does not fail by itself."""

SHOWN = {
    "missed": ("missed", "m", ("MISSED", {"yellow": True})),
    "broken": ("broken", "b", ("BROKEN", {"yellow": True})),
    "rescued": ("rescued", "r", ("RESCUED", {"yellow": True})),
}
"""Category, letter and word of each."""

SESSION: "pytest.StashKey[SuiteSession]" = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("agentbench", "agentbench: suites of agent cases (suite.yaml)")
    add = group.addoption
    add("--agentbench-backend", metavar="NAME|URL", help="Run suites on this backend, server or URL.")
    add("--agentbench-limit", type=_count, metavar="N", help="Run N cases of each suite, drawn by seed.")
    add("--agentbench-sample-seed", type=int, metavar="SEED", help="Seed of the draw that the limit makes.")
    add("--agentbench-set", action="append", default=[], metavar="PATH=VALUE", help="Set a configuration key.")
    add("--agentbench-repeats", type=_count, metavar="N", help="Run each case N times, each with a seed of its own.")
    add("--agentbench-baseline", metavar="NAME", help="Hold gates against this baseline or run.")
    add("--agentbench-summary", metavar="FILE", help="Add each suite's verdict to this file, as Markdown.")
    add("--agentbench-flake-reruns", type=int, default=0, metavar="N", help="Run a failing case up to N times more.")
    add("--agentbench-db", metavar="FILE|URL", help="The store; AGENTBENCH_DB by default.")


def _count(text: str) -> int:
    """A number of repeats or cases; argparse tells what it raises as wrong usage."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f"{text} is not 1 or more")
    return number


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "agent_suite(path, *, repeats, limit, sample_seed, backend, set): the suite that the fixture agent_run runs",
    )
    if config.getoption("agentbench_set") or config.getoption("agentbench_backend"):
        from agentbench.plugin.options import check_options

        check_options(config)


@pytest.fixture
def agent_run(request: pytest.FixtureRequest) -> "AgentRun":
    """The run of the suite that the test's `agent_suite` marker names; tests that ask for the same share one."""
    from agentbench.plugin.agent_run import agent_run_of

    return agent_run_of(request)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name != "suite.yaml":
        return None
    from agentbench.plugin.items import SuiteCollector

    return SuiteCollector.from_parent(parent, path=file_path)


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> Any:
    said = dict(getattr(report, "user_properties", ())).get(SHOWN_AS)
    if report.when == "call" and report.passed and said in SHOWN:
        return SHOWN[said]
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A pytest-xdist worker is about to start: the controller makes no run, and answers for those of the workers."""
    from agentbench.plugin.workers import share_directory

    share_directory(node.config, node.workerinput)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Around the others': before them, so that JUnit XML has the runs' figures; after, when the workers are gone."""
    from agentbench.plugin.ending import after_workers, before_workers

    before_workers(session.config)
    yield
    after_workers(session.config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(SESSION, None)
    if found is not None:
        from agentbench.plugin.summary import write_summary

        write_summary(terminalreporter, found)
