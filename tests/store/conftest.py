"""Databases for the store's contract: a SQLite file, and a database in a private PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.cluster import Cluster, private_cluster


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server that no other test uses."""
    with private_cluster() as cluster:
        yield cluster


@pytest.fixture
def sqlite_database(tmp_path: Path) -> str:
    return str(tmp_path / "new" / "agentbench.db")
