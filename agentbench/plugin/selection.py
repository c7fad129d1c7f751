"""Which items a session runs: whoever selects cases of a suite has its gate too."""

from collections.abc import Generator

import pytest

from agentbench.plugin.stash import SESSION


class Selection:
    """A pytest plugin, registered late: its hook ends after those that deselect items."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
        yield
        if config.stash.get(SESSION, None) is not None:
            from agentbench.plugin.items import keep_gates

            _count_as_selected(config, keep_gates(items))
        if any(item.get_closest_marker("agent_suite") for item in items):
            from agentbench.plugin.options import check_store

            check_store(config)


def _count_as_selected(config: pytest.Config, kept: list[pytest.Item]) -> None:
    """pytest has counted those that -k left out as deselected, and shows that number next."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = getattr(reporter, "stats", {})
    names = {item.nodeid for item in kept}
    if stats.get("deselected"):
        stats["deselected"] = [item for item in stats["deselected"] if item.nodeid not in names]
