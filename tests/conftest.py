"""Order and placement of the tests: those with the model first, each pytest-xdist worker on a core of its own.

And a private PostgreSQL server for those that want one, and a watch on SQLite connections.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from tests.store.cluster import private_cluster


def pytest_configure(config: pytest.Config) -> None:
    """Pin a worker, and what it starts, to one core: two engines that share cores wait for each other."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in ("slow", "model")])


_numbers = count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server's default database."""
    with private_cluster() as cluster:
        yield cluster.url


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


class WatchedConnection(sqlite3.Connection):
    is_open = True

    def close(self) -> None:
        super().close()
        self.is_open = False


@pytest.fixture
def open_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How many SQLite connections that the test made are open. Python 3.13 warns of those that nobody closes."""
    made: list[WatchedConnection] = []
    connect = sqlite3.connect

    def watched(*args: Any, **options: Any) -> WatchedConnection:
        made.append(connect(*args, **options, factory=WatchedConnection))
        return made[-1]

    monkeypatch.setattr("sqlite3.connect", watched)
    monkeypatch.setattr("sqlite3.dbapi2.connect", watched)
    yield lambda: sum(each.is_open for each in made)
    for each in made:
        each.close()
