"""Databases for the store's contract: a SQLite file, and a database in a private PostgreSQL server."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.cluster import Cluster, running_cluster, server_binaries


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server that no other test uses."""
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries here (Debian's package is named postgresql)")
    root = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        with running_cluster(binaries, root) as cluster:
            yield cluster
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def sqlite_database(tmp_path: Path) -> str:
    return str(tmp_path / "new" / "agentbench.db")
