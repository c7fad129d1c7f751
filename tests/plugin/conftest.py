"""pytester for a plugin that the outer session has imported already."""

import pytest


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Without the warning that modules of this plugin can't have their assertions rewritten any more: where its files
    are known (an installed package, egg-info beside the tests), every session within this process has it."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-W 'ignore:Module already imported:pytest.PytestAssertRewriteWarning'")
    return pytester
