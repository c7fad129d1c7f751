"""pytester for a plugin that the outer session has imported already."""

import pytest

# pytester forgets what a run in this process imported first, and SQLAlchemy can't be imported twice.
import agentbench.plugin.agent_run
import agentbench.plugin.hooks
import agentbench.plugin.items
import agentbench.plugin.summary
import agentbench.plugin.workers  # noqa: F401


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Without the warning that modules of this plugin can't have their assertions rewritten any more: where its files
    are known (an installed package, egg-info beside the tests), every session within this process has it."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-W 'ignore:Module already imported:pytest.PytestAssertRewriteWarning'")
    return pytester
