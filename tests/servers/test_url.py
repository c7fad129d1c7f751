"""A server that somebody else runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbench.errors import UserError
from agentbench.servers.url import UrlConfig, UrlServer
from tests.backends.chat_server import chat_server
from tests.transport.misbehaving_server import answering, plain


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with chat_server() as found:
        yield found


async def test_its_first_model_is_asked_for(url: str) -> None:
    server = UrlServer(UrlConfig(base_url=url))
    endpoint = await server.start(Path("unused"))
    assert (endpoint.base_url, endpoint.model) == (url, "m")
    await server.stop()
    await server.stop()


async def test_a_named_model_and_key_are_used(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    endpoint = await UrlServer(UrlConfig(base_url=url, model="other", api_key_env="MY_KEY")).start(Path("unused"))
    assert (endpoint.model, endpoint.api_key) == ("other", "secret")
    assert "secret" not in str(endpoint.info)


async def test_a_refused_key_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "wrong")
    with pytest.raises(UserError, match="refused the key in MY_KEY"):
        await UrlServer(UrlConfig(base_url=url, api_key_env="MY_KEY")).start(Path("unused"))


async def test_an_address_where_nothing_answers_is_told() -> None:
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9/v1 can't be reached"):
        await UrlServer(UrlConfig(base_url="http://127.0.0.1:9/v1", model="m")).start(Path("unused"))


async def test_an_address_that_moved_is_told() -> None:
    async with answering(plain(307, b"", b"Location: https://other.example/v1/models")) as url:
        with pytest.raises(UserError, match=r"moved to https://other\.example/v1/models; give that address"):
            await UrlServer(UrlConfig(base_url=url)).start(Path("unused"))


@pytest.mark.parametrize("answer", [plain(404, b"no such page"), plain(200, b"{}"), plain(200, b"<html>")])
async def test_a_server_without_a_list_of_models_needs_a_name(answer: bytes) -> None:
    async with answering(answer, answer) as url:
        with pytest.raises(UserError, match=r"lists no model; name one with --set serving\.model=NAME"):
            await UrlServer(UrlConfig(base_url=url)).start(Path("unused"))
        assert (await UrlServer(UrlConfig(base_url=url, model="mine")).start(Path("unused"))).model == "mine"


def test_something_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="base_url"):
        UrlConfig(base_url="localhost:8000")
