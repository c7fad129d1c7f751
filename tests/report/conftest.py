"""A store with two runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbench.store import Store, open_store
from tests.report.runs import fill


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "a.db")) as store:
        fill(store)
        yield store
