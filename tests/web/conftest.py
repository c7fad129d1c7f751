"""A viewer of a store with two runs, in this process and on a port."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from agentbench.store import Store, open_store
from agentbench.web.app import make_app
from agentbench.web.viewer import viewer_of
from tests.report.runs import fill

FREE, CONSTRAINED = "weather-20260304-050600-aaa111", "weather-20260304-050700-bbb222"


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two runs, which each test has a copy of."""
    path = tmp_path_factory.mktemp("filled") / "a.db"
    with open_store(str(path)) as store:
        fill(store, cases=60)
    return path


@pytest.fixture
def db(tmp_path: Path, filled: Path) -> str:
    return str(shutil.copy(filled, tmp_path / "a.db"))


@pytest.fixture
def store(db: str) -> Iterator[Store]:
    with open_store(db) as store:
        yield store


@pytest.fixture
def client(store: Store, db: str) -> Iterator[TestClient]:
    """Of a viewer in which people may label."""
    app = make_app(viewer_of(store, db, reviewer="ann"))
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        yield client


@pytest.fixture
def reader(store: Store, db: str) -> Iterator[TestClient]:
    """Of a read-only viewer."""
    with TestClient(make_app(viewer_of(store, db)), base_url="http://localhost", follow_redirects=False) as client:
        yield client


@dataclass(frozen=True, slots=True)
class Site:
    address: str
    store: Store


@pytest.fixture
def site(store: Store, db: str) -> Iterator[Site]:
    """A viewer on a port, for a browser."""
    with serving(store, db) as address:
        yield Site(address, store)


@contextmanager
def serving(store: Store, db: str) -> Iterator[str]:
    app = make_app(viewer_of(store, db, reviewer="ann"))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    ready = threading.Event()
    begin = server.startup

    async def startup(sockets: "list[object] | None" = None) -> None:
        await begin(sockets)  # type: ignore[arg-type]
        ready.set()

    server.startup = startup  # type: ignore[method-assign, assignment]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(60)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
