"""The end of a pytest session: runs end, the workers' runs are taken over, JUnit XML has their figures."""

import pytest
from _pytest.junitxml import xml_key

from agentbench.plugin.hooks import SESSION
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
    if xml is not None:
        from agentbench.plugin.properties import run_properties

        for name, value in run_properties(session.store, session.run_ids):
            xml.add_global_property(name, value)


def after_workers(config: pytest.Config) -> None:
    session = config.stash.get(SESSION, None)
    if session is not None:
        session.settle()
    forget(config)
