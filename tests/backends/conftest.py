"""A server that answers, and an address where nothing does."""

import socket
from collections.abc import Iterator

import pytest

from tests.backends.chat_server import chat_server


@pytest.fixture(scope="session")
def chat_url() -> Iterator[str]:
    with chat_server() as url:
        yield url


@pytest.fixture
def dead_url() -> Iterator[str]:
    """A port that is bound and does not listen: refused, and nobody else's."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
