"""Order and placement of the tests: those with the model first, each pytest-xdist worker on a core of its own."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Pin a worker, and what it starts, to one core: two engines that share cores wait for each other."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in ("slow", "model")])
