"""Decides which items a session runs, and how often.

Selecting cases of a suite selects its gate too. Plugins that repeat a test are kept off suite items, since they would
repeat it with the attempts of the same run.
"""

from collections.abc import Generator

import pytest

from agentbench.plugin.stash import SESSION

REPEATED = (
    "pytest-repeat would repeat each item with the same run. --agentbench-repeats {count} runs {count} attempts of each"
    " case, each with a seed of its own; -m 'not agent_suite' leaves the suites out"
)
RERUN = (
    "--reruns and the mark flaky did not run the agent again, since all items of a suite share the attempts of one run."
    " --agentbench-flake-reruns N runs its failing cases again."
)
RERUN_DISABLED: pytest.StashKey[bool] = pytest.StashKey()
"""Marks an item that pytest-rerunfailures would have run again."""


class Selection:
    """A pytest plugin, registered late: its hook runs after those that deselect items."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
        yield
        if config.stash.get(SESSION, None) is not None:
            from agentbench.plugin.items import add_gates

            _count_as_selected(config, add_gates(items))
        ours = [item for item in items if item.get_closest_marker("agent_suite")]
        if not ours:
            return
        from agentbench.plugin.session import check_store
        from agentbench.plugin.workers import is_worker

        if not is_worker(config) and (refusal := next(filter(None, map(_refusal, ours)), "")):
            raise pytest.UsageError(refusal)
        for item in ours:
            _disable_reruns(item)
        check_store(config)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Turns a worker's wrong usage into a failed item; an exception during collection looks like a crash."""
        if item.get_closest_marker("agent_suite") and (refusal := _refusal(item)):
            pytest.fail(refusal, pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and item.stash.get(RERUN_DISABLED, False):
            report.sections.append(("agentbench", RERUN))
        return report


def _count_as_selected(config: pytest.Config, gates: list[pytest.Item]) -> None:
    """Corrects pytest's count: it has counted the gates that -k left out as deselected, and shows that number next."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = getattr(reporter, "stats", {})
    names = {item.nodeid for item in gates}
    if stats.get("deselected"):
        stats["deselected"] = [item for item in stats["deselected"] if item.nodeid not in names]


def _refusal(item: pytest.Item) -> str:
    """Why pytest-repeat must not repeat the item; empty when it would not."""
    if not item.config.pluginmanager.hasplugin("repeat"):
        return ""
    mark = item.get_closest_marker("repeat")
    count = mark.args[0] if mark and mark.args else item.config.getoption("count", 1)
    return REPEATED.format(count=count) if isinstance(count, int) and count > 1 else ""


def _disable_reruns(item: pytest.Item) -> None:
    """Turns pytest-rerunfailures off for the item: a rerun would use the same attempts."""
    if not item.config.pluginmanager.hasplugin("rerunfailures"):
        return
    item.stash[RERUN_DISABLED] = bool(item.get_closest_marker("flaky") or item.config.getoption("reruns", None))
    item.add_marker(pytest.mark.flaky(reruns=0), append=False)
