"""Databases for the store's contract: a SQLite file, and a database in a private PostgreSQL server."""

import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.store.cluster import Cluster, postgresql, running_cluster, server_binaries

_numbers = count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server's default database."""
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries here (Debian's package is named postgresql)")
    root = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        with postgresql(binaries, root) as url:
            yield url
    finally:
        shutil.rmtree(root, ignore_errors=True)


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
def postgresql_database(postgresql_server: str) -> str:
    """The URL of a new, empty database."""
    from sqlalchemy import create_engine, make_url, text

    name = f"test_{next(_numbers)}"
    engine = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(postgresql_server).set(database=name).render_as_string()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> str:
    return str(tmp_path / "new" / "agentbench.db")
