"""A server that somebody else runs."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.core.errors import AttemptError, UserError
from agentbench.core.protocols import ChatRequest
from agentbench.core.trace import ModelCall
from agentbench.http.client import Target
from agentbench.servers.url import UrlConfig, UrlServer
from agentbench.suite.validation import validate
from tests.backends.chat_server import chat_server
from tests.http.misbehaving_server import answering, listening, plain


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


Seen = list[bytes]


@asynccontextmanager
async def recording(*answers: bytes) -> AsyncIterator[tuple[str, Seen]]:
    """A server that gives these answers in turn, and the requests it saw; a model list is not one of them."""
    seen: Seen = []
    left = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
        seen.append(head + await reader.readexactly(length))
        writer.write(plain(404, b"{}") if head.startswith(b"GET") else left.pop(0))

    async with listening(handle) as url:
        yield url, seen


async def asked(config: UrlConfig, **request: Any) -> ModelCall:
    backend = OpenAIHttpBackend(OpenAIHttpConfig(), await UrlServer(config).start(Path("unused")))
    try:
        return await backend.chat(ChatRequest(messages=({"role": "user", "content": "x"},), **request))
    finally:
        await backend.aclose()


ANSWER = b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'


async def test_headers_parameters_and_fields_of_a_server_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", "azure-secret-1\n")
    monkeypatch.setenv("GEMINI_KEY", "a/b secret")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with recording(plain(200, ANSWER)) as (url, seen):
        config = UrlConfig(
            base_url=f"{url}?version=1",
            model="m",
            headers={"X-Org": "me"},
            headers_env={"api-key": "AZURE_KEY"},
            query={"api-version": "2024-10-21"},
            query_env={"key": "GEMINI_KEY"},
            extra_body={"temperature": None, "seed": None, "reasoning_effort": "low", "stream_options": None},
            rename={"max_tokens": "max_completion_tokens"},
        )
        call = await asked(config, temperature=0.5, max_tokens=9, seed=7)
    for request in seen:
        assert b"/v1/models?" in request or b"/v1/chat/completions?" in request
        assert b"?version=1&api-version=2024-10-21&key=a%2Fb+secret HTTP/1.1\r\n" in request
        assert b"\r\nX-Org: me\r\n" in request
        assert b"\r\nApi-Key: azure-secret-1\r\n" in request
        assert b"Authorization" not in request
    assert json.loads(seen[1].partition(b"\r\n\r\n")[2]) == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "max_completion_tokens": 9,
        "stream": True,
        "reasoning_effort": "low",
    }
    assert call.request == {"model": "m", "max_completion_tokens": 9, "reasoning_effort": "low"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "https://me:hunter22@host/v1"}, "serving.base_url: it has a user or a password in it"),
        ({"base_url": "https://host/v1?key=hunter22"}, "serving.base_url: its parameter key would be stored"),
        ({"headers": {"Authorization": "Bearer hunter22"}}, "serving.headers: the value of Authorization would be"),
        ({"query": {"api_key": "hunter22"}}, "serving.query: the value of api_key would be stored"),
    ],
)
def test_credentials_in_the_configuration_are_refused_and_not_shown(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        validate(UrlConfig, {"base_url": "http://host/v1", **options}, lambda location: "suite.yaml", ("serving",))
    assert "hunter22" not in str(caught.value)


def test_a_field_that_every_request_has_of_its_own_can_t_be_set() -> None:
    with pytest.raises(ValueError, match="messages can't be set"):
        UrlConfig(base_url="http://host/v1", extra_body={"messages": []})


async def test_a_variable_that_is_not_set_or_is_no_header_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "a\r\nX-Evil: b")
    for name, said in (("NO_SUCH", "names NO_SUCH, which is not set"), ("BROKEN", "the value of BROKEN is not valid")):
        with pytest.raises(UserError, match=rf"serving\.headers_env\.X:? {said}"):
            await UrlServer(UrlConfig(base_url="http://host/v1", headers_env={"X": name})).start(Path("unused"))


@pytest.mark.parametrize(
    "answer",
    [
        plain(400, b'{"error": {"message": "bad key sk-0123456789 and 0123456789-azure"}}'),
        plain(200, b'data: {"error": {"message": "bad key sk-0123456789 and 0123456789-azure"}}\n\n'),
        plain(400, b"x" * 290 + b" sk-0123456789"),
    ],
)
async def test_a_key_that_an_error_echoes_is_not_told(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-0123456789")
    monkeypatch.setenv("AZURE_KEY", "0123456789-azure")
    async with recording(answer) as (url, _):
        config = UrlConfig(base_url=url, model="m", api_key_env="MY_KEY", headers_env={"api-key": "AZURE_KEY"})
        with pytest.raises(AttemptError) as caught:
            await asked(config)
    assert "sk-01" not in str(caught.value)
    assert "0123456789" not in str(caught.value)
    assert "[secret" in str(caught.value)


async def test_an_endpoint_s_key_is_not_in_its_repr(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-0123456789")
    endpoint = await UrlServer(UrlConfig(base_url=url, api_key_env="MY_KEY", query_env={"key": "MY_KEY"})).start(
        Path("unused")
    )
    assert "sk-0123456789" not in f"{endpoint!r} {Target.of(endpoint)!r}"
