"""The bundled server and the server of a URL pass the contract."""

from collections.abc import Callable, Iterator

import pytest

from agentbench.core.protocols import Server
from agentbench.servers.bundled import BundledConfig, BundledServer
from agentbench.servers.url import UrlConfig, UrlServer
from agentbench.testing import ServerContract
from tests.backends.chat_server import chat_server


class TestUrl(ServerContract):
    @pytest.fixture
    def make_server(self) -> Iterator[Callable[[], Server]]:
        with chat_server() as url:
            yield lambda: UrlServer(UrlConfig(base_url=url))


@pytest.mark.model
@pytest.mark.slow
class TestBundled(ServerContract):
    @pytest.fixture
    def make_server(self) -> Callable[[], Server]:
        return lambda: BundledServer(BundledConfig(kv_cache_memory_mb=64))
