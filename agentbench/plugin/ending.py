"""The end of a pytest session: runs end, workers' runs are taken over, JUnit XML and the summary have the figures."""

import pytest
from _pytest.junitxml import xml_key

from agentbench.plugin.stash import SESSION
from agentbench.plugin.workers import forget, stop_workers


def before_workers(config: pytest.Config) -> None:
    """End this process's runs. pytest-xdist's workers are stopped after it, and JUnit XML written."""
    made_by_workers = stop_workers(config)
    if made_by_workers:
        from agentbench.plugin.session import SuiteSession

        SuiteSession.of(config).adopt(made_by_workers)
    session = config.stash.get(SESSION, None)
    if session is None:
        return
    session.close()
    xml = config.stash.get(xml_key, None)
    if xml is not None and session.run_ids:
        from agentbench.plugin.properties import run_properties

        for name, value in run_properties(session.store, session.run_ids):
            xml.add_global_property(name, value)


def after_workers(session: pytest.Session) -> None:
    """Every run has ended, so that its status and its summary are final."""
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
    """A summary that can't be written after all (a full disk) is one line, and no success."""
    from agentbench.plugin.summary import write_markdown

    try:
        write_markdown(session.config)
    except OSError as error:
        session.config.get_terminal_writer().line(f"agentbench: the summary is not written: {error}", red=True)
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
