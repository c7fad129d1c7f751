"""What the plugin keeps in pytest's stashes and properties, by name. It imports nothing of the plugin."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentbench.plugin.session import SuiteSession

SHOWN_AS = "agentbench"
"""The user property that says how an item is shown that did not pass and does not fail by itself."""

SESSION: "pytest.StashKey[SuiteSession]" = pytest.StashKey()
"""Of the configuration: the suites and runs of this process."""

RECORD: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
"""Of an item: its run, its kind (case, gate, test), and the checks it made (what was found, whether it held)."""
