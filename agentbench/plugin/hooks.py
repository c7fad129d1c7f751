"""pytest's hooks, the plugin's options, and the end of a session.

Every pytest run imports this module, so it imports nothing heavy; each hook only delegates. At the end of a session,
runs end, workers' runs are taken over, and JUnit XML and the summary get the figures.
"""

from argparse import ArgumentTypeError
from collections.abc import Callable, Generator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentbench.plugin.item_reports import ItemReports, mark_report
from agentbench.plugin.selection import Selection
from agentbench.plugin.stash import HANDED_OUT_AGAIN, SESSION, SHOWN_AS

if TYPE_CHECKING:
    from agentbench.plugin.agent_run import AgentRun

from _pytest.junitxml import xml_key

from agentbench.plugin.workers import HandedOut, forget, stop_workers

SUITE_FILE = "suite.yaml"

pytest.register_assert_rewrite("agentbench.testing", "serving.testing", "tuners.testing")


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("agentbench", "agentbench: suites of agent cases (suite.yaml)")
    add = group.addoption
    add("--agentbench-backend", type=_text, metavar="NAME|URL", help="Run suites on this backend, server or URL.")
    add("--agentbench-limit", type=_number(1), metavar="N", help="Run N cases of each suite, drawn by seed.")
    add("--agentbench-sample-seed", type=_number(0), metavar="SEED", help="Seed of the limit's sample.")
    add(
        "--agentbench-set",
        type=_text,
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="Set a configuration key.",
    )
    add("--agentbench-repeats", type=_number(1), metavar="N", help="Run each case N times, each with its own seed.")
    add("--agentbench-baseline", type=_text, metavar="NAME", help="Compare gates with this baseline or run.")
    add("--agentbench-summary", type=_text, metavar="FILE", help="Add each suite's verdict to this file, as Markdown.")
    add(
        "--agentbench-flake-reruns",
        type=_number(0),
        default=0,
        metavar="N",
        help="Run a failing case up to N times more.",
    )
    add(
        "--agentbench-db", type=_text, metavar="FILE|URL", help="The store, instead of AGENTBENCH_DB and agentbench_db."
    )
    parser.addini(
        "agentbench_db", "The store: a URL, or a SQLite file from the ini file's directory. Default: AGENTBENCH_DB."
    )
    parser.addini(
        "agentbench_suites",
        "Which files are suites: names, or paths from the root directory, with * and ?.",
        type="args",
        default=[SUITE_FILE],
    )


def _text(text: str) -> str:
    """A text that is not empty. argparse reports an exception here as wrong usage."""
    if not text.strip():
        raise ArgumentTypeError(f"{text!r} is empty (a variable that is not set?); give a value, or leave it out")
    return text


def _number(least: int) -> Callable[[str], int]:
    def parsed(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a whole number; give {least} or more") from None
        if number < least:
            raise ArgumentTypeError(f"{text} is too small; give {least} or more")
        return number

    return parsed


def is_suite(file: Path, session: pytest.Session) -> bool:
    """Whether the file's name and place make it a suite; a suite.yaml given explicitly always is one."""
    if file.name == SUITE_FILE and session.isinitpath(file):
        return True
    root = session.config.rootpath
    place = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
    return any(
        fnmatch(place if "/" in pattern else file.name, pattern)
        for pattern in session.config.getini("agentbench_suites")
    )


def check_summary(config: pytest.Config) -> None:
    """Reports a summary file that can't be written as wrong usage, before anything runs."""
    named = config.getoption("agentbench_summary")
    if named and (why := _unwritable(Path(named))):
        raise pytest.UsageError(f"--agentbench-summary {named!r}: {why}; name a file that can be written")


def _unwritable(file: Path) -> str:
    """Why the file can't be appended to, empty when it can; checked without writing."""
    from os import W_OK, access

    if file.is_dir():
        return "it is a directory"
    nearest = file if file.exists() else next(place for place in file.absolute().parents if place.exists())
    if nearest != file and not nearest.is_dir():
        return f"{nearest} is not a directory"
    return "" if access(nearest, W_OK) else f"{nearest} can't be written"


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
    config.pluginmanager.register(HandedOut(), HandedOut.NAME)
    check_summary(config)
    if config.getoption("agentbench_set") or config.getoption("agentbench_backend"):
        from agentbench.plugin.options import check_options

        check_options(config)


@pytest.fixture
def agent_run(request: pytest.FixtureRequest) -> "AgentRun":
    """The run of the suite in the test's `agent_suite` marker; tests with the same marker arguments share one run."""
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
    shown = dict(getattr(report, "user_properties", ())).get(SHOWN_AS)
    if report.when == "call" and report.passed and shown in SHOWN:
        return SHOWN[shown]
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist starts a worker: the controller runs nothing itself, and reports the workers' runs."""
    from agentbench.plugin.workers import share_directory

    share_directory(node.config, node.workerinput)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Wraps the other hooks: JUnit XML needs the figures before them; the workers are gone after them."""

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


def before_workers(config: pytest.Config) -> None:
    """End this process's runs. After it, pytest-xdist's workers are stopped and JUnit XML is written."""
    run_ids = stop_workers(config)
    if run_ids:
        from agentbench.plugin.session import SuiteSession

        SuiteSession.of(config).adopt(run_ids)
    session = config.stash.get(SESSION, None)
    if session is None:
        return
    session.close()
    xml = config.stash.get(xml_key, None)
    if xml is not None and session.run_ids:
        from agentbench.plugin.summary import run_properties

        for name, value in run_properties(session.store, session.run_ids):
            xml.add_global_property(name, value)


def after_workers(session: pytest.Session) -> None:
    """Every run has ended, so its status and summary are final."""
    found = session.config.stash.get(SESSION, None)
    try:
        if found is not None:
            found.settle()
            _summarize(session)
    finally:
        if found is not None:
            found.close_store()
        forget(session.config)


def _summarize(session: pytest.Session) -> None:
    """When the summary can't be written after all (a full disk), prints one line and fails the session."""
    from agentbench.plugin.summary import write_markdown

    try:
        write_markdown(session.config)
    except OSError as error:
        session.config.get_terminal_writer().line(f"agentbench: the summary is not written: {error}", red=True)
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
