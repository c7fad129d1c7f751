"""pytester for a plugin that the outer session has imported already."""

import pytest

# pytester forgets what a run in this process imported first: SQLAlchemy can't be imported twice, and the components of
# the suites here would be imported by every run.
import agentbench.agents.callable
import agentbench.agents.chat
import agentbench.backends.scripted
import agentbench.datasets.jsonl
import agentbench.gateway
import agentbench.plugin.agent_run
import agentbench.plugin.hooks
import agentbench.plugin.items
import agentbench.plugin.summary
import agentbench.plugin.workers
import agentbench.scorers.text
import agentbench.servers.bundled
import agentbench.users.users  # noqa: F401

OTHERS = "-p no:hypothesispytest -p no:anyio -p no:pytest_cov"
"""Plugins that a session here would import for nothing."""


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Without the warning that modules of this plugin can't have their assertions rewritten any more: where its files
    are known (an installed package, egg-info beside the tests), every session within this process has it."""
    ignored = "-W 'ignore:Module already imported:pytest.PytestAssertRewriteWarning'"
    monkeypatch.setenv("PYTEST_ADDOPTS", f"{ignored} {OTHERS}")
    return pytester
