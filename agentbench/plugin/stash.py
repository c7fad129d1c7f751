"""Keys of the plugin's entries in pytest's stashes and properties. It imports nothing else of the plugin."""

from typing import Any

import pytest

SHOWN_AS = "agentbench"
"""The user property that says how an item is shown that did not pass and does not fail by itself."""

HANDED_OUT_AGAIN = "rerun"
"""The outcome of an item whose worker died, and which another gets; pytest-rerunfailures has the same one."""

SESSION: pytest.StashKey[Any] = pytest.StashKey()
"""Of the configuration: the suites and runs of this process, a `SuiteSession`."""

Checks = list[tuple[str, bool]]

RECORD: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
"""Of an item or a suite's collector: its suite, its run ("" before there is one), its kind (case, gate, test, suite),
and the checks it made (what was found, whether it held)."""


def set_record(
    node: pytest.Item | pytest.Collector, kind: str, suite: str, run_id: str = "", checks: Checks | None = None
) -> None:
    node.stash[RECORD] = {"kind": kind, "suite": suite, "run": run_id, "checks": [] if checks is None else checks}
