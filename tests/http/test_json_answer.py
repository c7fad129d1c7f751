"""Answers in one piece: what is tried again, and what is said where there is none."""

import json

import pytest

from agentbench.http.json_answer import NoAnswer, model_names, post
from tests.http.misbehaving_server import answering, plain
from tests.http.test_client import client_of

WHOLE = plain(200, b'{"data": [{"id": "a"}, {"id": "b"}]}')


@pytest.mark.parametrize("first", [plain(429, b"later"), plain(503, b"{}"), None], ids=["busy", "down", "closed"])
async def test_a_server_that_is_busy_is_asked_again(first: bytes | None) -> None:
    async with client_of(answering(first, WHOLE)) as client:
        assert await post(client, "embeddings", {}, pauses_s=(0, 0)) == json.loads(WHOLE.partition(b"\r\n\r\n")[2])


async def test_it_is_given_up_in_the_end() -> None:
    async with client_of(answering(*[plain(503, b'{"error": {"message": "loading"}}')] * 3)) as client:
        with pytest.raises(NoAnswer, match="HTTP 503: loading") as caught:
            await post(client, "embeddings", {}, pauses_s=(0, 0))
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (plain(400, b'{"error": {"message": "no such model"}}'), "HTTP 400: no such model"),
        (plain(307, b"", b"Location: http://other/"), "moved to http://other/; give that address"),
        (plain(200, b"<html>"), "an answer that is no JSON: b'<html>'"),
    ],
)
async def test_what_would_come_again_is_not_asked_again(answer: bytes, message: str) -> None:
    async with client_of(answering(answer)) as client:
        with pytest.raises(NoAnswer, match=message):
            await post(client, "embeddings", {}, pauses_s=(0, 0))


@pytest.mark.parametrize(("body", "names"), [(b'{"data": [{"id": "a"}, {"id": "b"}]}', ["a", "b"]), (b"[]", [])])
async def test_the_models_of_a_server(body: bytes, names: list[str]) -> None:
    async with client_of(answering(plain(200, body))) as client:
        assert await model_names(client) == names
