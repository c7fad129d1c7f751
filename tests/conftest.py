"""Order and placement of the tests: those with the model first, each pytest-xdist worker on a core of its own.

And `--quick`, a private PostgreSQL server for those that want one, and a watch on SQLite connections.
"""

import gc
import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import settings

from tests.quick import imports_heavy, is_quick
from tests.store.cluster import private_cluster

# A busy machine is no mistake: no time is asserted.
settings.register_profile("project", deadline=None, max_examples=50)
settings.register_profile("thorough", settings.get_profile("project"), max_examples=500)  # make thorough
settings.register_profile("full", settings.get_profile("project"), max_examples=100)  # make check
settings.register_profile("quick", settings.get_profile("project"), max_examples=20)
settings.load_profile("project")


LONG = frozenset({"pytester", "study"})
"""Fixtures of the files that take long: sessions of pytest, and whole studies."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="only tests that need no PyTorch, model, database server, browser, whole study or process of their own",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Pin a worker, and what it starts, to one core: two engines that share cores wait for each other."""
    if config.getoption("--quick"):
        settings.load_profile("quick")
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    is_test = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    return (config.getoption("--quick") and is_test and imports_heavy(collection_path)) or None


def pytest_collection_finish() -> None:
    """What is imported stays: no garbage collection looks at it again, and a load test asks for whole ones."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left alone with one at the end."""
    if config.getoption("--quick"):
        left = [item for item in items if not is_quick(item)]
        items[:] = [item for item in items if is_quick(item)]
        config.hook.pytest_deselected(items=left)
    long = {item.path for item in items if not LONG.isdisjoint(getattr(item, "fixturenames", ()))}
    marks = ("slow", "model")
    items.sort(key=lambda item: [*(item.get_closest_marker(mark) is None for mark in marks), item.path not in long])


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> Iterator[None]:
    """Typer makes all commands anew for each that is typed, which takes longer than most of them."""
    with pytest.MonkeyPatch.context() as patch:
        made = cache(typer.main.get_command)
        patch.setattr("typer.main.get_command", made)
        patch.setattr("typer.testing._get_command", made)
        yield


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
