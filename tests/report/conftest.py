"""A store with two runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbench.store import Store, open_store
from tests.report.runs import fill


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two runs; each test gets a copy."""
    path = tmp_path_factory.mktemp("filled") / "a.db"
    with open_store(str(path)) as store:
        fill(store)
    return path


@pytest.fixture
def store(tmp_path: Path, filled: Path) -> Iterator[Store]:
    with open_store(str(shutil.copy(filled, tmp_path / "a.db"))) as store:
        yield store
