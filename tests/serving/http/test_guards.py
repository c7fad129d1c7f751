"""API keys, and the refusal of requests from web pages."""

import json
import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from serving.config import HttpConfig, UsageError, is_loopback, parse_options
from tests.serving.fake_engine import FakeEngine
from tests.serving.http_client import CHAT, HELLO, HTTP, app_of, client_of

KEY = "sk-very-secret"
LOCKED = HttpConfig(api_key=SecretStr(KEY))
LOCAL = HttpConfig(host="127.0.0.1")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", f"Basic {KEY}", KEY, "Bearer wrong", f"Bearer {KEY}x", "Bearer é"]
)
@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/metrics", "/nowhere"])
async def test_a_request_without_the_key_gets_401(header: str | None, path: str) -> None:
    headers = [] if header is None else [(b"authorization", header.encode())]
    async with client_of(app_of(FakeEngine("a"), config=LOCKED)) as client:
        response = await client.post(path, json=HELLO, headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (401, "invalid_api_key", "invalid_request_error")
    assert response.headers["www-authenticate"] == "Bearer"
    assert KEY not in response.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_a_request_with_the_key_is_answered(scheme: str) -> None:
    async with client_of(app_of(FakeEngine("a"), config=LOCKED)) as client:
        client.headers["authorization"] = f"{scheme} {KEY}"
        assert (await client.post(CHAT, json=HELLO)).status_code == 200
        assert (await client.get("/metrics")).status_code == 200


async def test_health_needs_no_key_and_the_key_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_of(app_of(FakeEngine(), config=LOCKED)) as client:
        response = await client.get("/health", headers={"authorization": f"Bearer {KEY}"})
    assert response.status_code == 200
    assert KEY not in response.text
    assert KEY not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("serving"))


def test_a_key_from_a_file_and_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    for option in (f"@{file}", KEY):
        config = parse_options(["--model", "m", "--api-key", option]).config
        assert config.http.api_key is not None
        assert config.http.api_key.get_secret_value() == KEY
        assert KEY not in repr(config)


@pytest.mark.parametrize(
    ("option", "message"),
    [("", "printable ASCII"), ("two words", "printable ASCII"), ("@/no/such/file", "can't read the file")],
)
def test_an_invalid_key_is_a_usage_error_that_does_not_repeat_it(option: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        parse_options(["--model", "m", "--api-key", option])
    assert "two words" not in str(refused.value)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
async def test_a_loopback_host_is_accepted(host: str) -> None:
    async with client_of(app_of(FakeEngine("a"), config=LOCAL)) as client:
        assert (await client.post(CHAT, json=HELLO, headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example:8000", "evil.example", "localhost.evil.example", "127.0.0.2", "[", ""])
async def test_another_host_is_refused_on_loopback(host: str) -> None:
    engine = FakeEngine("a")
    async with client_of(app_of(engine, config=LOCAL)) as client:
        response = await client.post(CHAT, json=HELLO, headers={"host": host})
        assert (await client.get("/health", headers={"host": host})).status_code == 421
    assert (response.status_code, response.json()["error"]["code"]) == (421, "wrong_host")
    assert not engine.requests


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "http://[", "x"])
@pytest.mark.parametrize("config", [LOCAL, HTTP])
async def test_a_request_from_another_site_is_refused(origin: str, config: HttpConfig) -> None:
    """Browsers send a cross-site POST of plain text without a preflight request."""
    engine = FakeEngine("a")
    headers = {"origin": origin, "host": "localhost:8000", "content-type": "text/plain"}
    async with client_of(app_of(engine, config=config)) as client:
        response = await client.post(CHAT, content=json.dumps(HELLO), headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "cross_origin")
    assert not engine.requests


async def test_a_request_without_an_origin_is_accepted() -> None:
    async with client_of(app_of(FakeEngine("a"))) as client:
        assert (await client.post(CHAT, json=HELLO, headers={"host": "gpu7.internal"})).status_code == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
