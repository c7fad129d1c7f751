"""The log line and the id of each request."""

import json
import logging

import pytest
from pydantic import SecretStr

from tests.serving.fake_engine import FakeEngine
from tests.serving.http_client import CHAT, HELLO, HTTP, app_of, client_of

SECRET = {**HELLO, "messages": [{"role": "user", "content": "my secret"}]}


@pytest.fixture(autouse=True)
def log_at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.requests")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_log_line_has_counts_and_times_but_no_text(caplog: pytest.LogCaptureFixture, stream: bool) -> None:
    async with client_of(app_of(FakeEngine("a", "bc"))) as client:
        response = await client.post(CHAT, json={**SECRET, "stream": stream}, headers={"x-request-id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"
    [record] = caplog.records
    line = json.loads(record.getMessage())
    assert record.levelno == logging.INFO
    assert (line["request"], line["path"], line["status"]) == ("mine-1", CHAT, 200)
    assert (line["cached_tokens"], line["completion_tokens"], line["finish_reason"]) == (3, 3, "stop")
    assert line["prompt_tokens"] > 0
    assert 0 <= line["ttft_s"] <= line["duration_s"]
    assert line["client"] == "127.0.0.1"
    assert "secret" not in record.getMessage()


async def test_a_refusal_is_logged_with_its_code(caplog: pytest.LogCaptureFixture) -> None:
    async with client_of(app_of(FakeEngine("a"))) as client:
        response = await client.post(CHAT, json={**SECRET, "n": 99})
    line = json.loads(caplog.records[0].getMessage())
    assert (line["status"], line["error"]) == (400, "invalid_value")
    assert response.headers["x-request-id"] == line["request"]
    assert line["request"].startswith("req_")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_of_the_engine_is_logged_with_its_code(caplog: pytest.LogCaptureFixture, stream: bool) -> None:
    engine = FakeEngine("", finish_reason="abort", error="out of memory")
    async with client_of(app_of(engine)) as client:
        await client.post(CHAT, json={**SECRET, "stream": stream})
    line = json.loads(caplog.records[0].getMessage())
    assert (line["status"], line["error"]) == (500, "engine_error")


async def test_a_wrong_key_is_logged_with_its_code(caplog: pytest.LogCaptureFixture) -> None:
    async with client_of(
        app_of(FakeEngine("a"), config=HTTP.model_copy(update={"api_key": SecretStr("right")}))
    ) as client:
        await client.post(CHAT, json=SECRET, headers={"authorization": "Bearer wrong"})
    line = json.loads(caplog.records[0].getMessage())
    assert (line["status"], line["error"]) == (401, "invalid_api_key")


async def test_a_path_that_the_server_does_not_have_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with client_of(app_of(FakeEngine("a"))) as client:
        await client.get("/v1/secret")
    assert json.loads(caplog.records[0].getMessage())["path"] == "other"
    assert "secret" not in caplog.records[0].getMessage()


@pytest.mark.parametrize("given", ["a" * 129, "a b", 'a"b', "a\tb", "ünicode", ""])
async def test_an_id_that_is_not_plain_is_replaced(given: str) -> None:
    async with client_of(app_of(FakeEngine("a"))) as client:
        response = await client.get("/v1/models", headers=[(b"x-request-id", given.encode())])
    assert response.headers["x-request-id"].startswith("req_")


async def test_health_checks_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with client_of(app_of(FakeEngine())) as client:
        for path in ("/health", "/metrics"):
            assert "x-request-id" in (await client.get(path)).headers
    assert caplog.records == []
