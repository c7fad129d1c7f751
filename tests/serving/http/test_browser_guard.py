"""What a web page may ask a server on this machine: nothing."""

import json

import pytest

from serving.http.browser_guard import LOOPBACK, is_loopback
from tests.serving.fake_engine import FakeEngine
from tests.serving.http_client import CHAT, HELLO, app_of, client_of


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
async def test_its_own_names_are_answered_to(host: str) -> None:
    async with client_of(app_of(FakeEngine("a"), hosts=LOOPBACK)) as client:
        assert (await client.post(CHAT, json=HELLO, headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example:8000", "evil.example", "localhost.evil.example", "127.0.0.2", "[", ""])
async def test_a_name_that_was_made_to_point_here_is_not(host: str) -> None:
    engine = FakeEngine("a")
    async with client_of(app_of(engine, hosts=LOOPBACK)) as client:
        response = await client.post(CHAT, json=HELLO, headers={"host": host})
        assert (await client.get("/health", headers={"host": host})).status_code == 421
    assert (response.status_code, response.json()["error"]["code"]) == (421, "wrong_host")
    assert not engine.requests


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "http://[", "x"])
@pytest.mark.parametrize("hosts", [LOOPBACK, None])
async def test_a_page_of_another_site_is_refused_whatever_it_sends(origin: str, hosts: frozenset[str] | None) -> None:
    """Plain text needs no permission of a browser's."""
    engine = FakeEngine("a")
    headers = {"origin": origin, "host": "localhost:8000", "content-type": "text/plain"}
    async with client_of(app_of(engine, hosts=hosts)) as client:
        response = await client.post(CHAT, content=json.dumps(HELLO), headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "cross_origin")
    assert not engine.requests


async def test_clients_that_are_no_browsers_say_no_origin() -> None:
    async with client_of(app_of(FakeEngine("a"))) as client:
        assert (await client.post(CHAT, json=HELLO, headers={"host": "gpu7.internal"})).status_code == 200


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_which_addresses_are_for_this_machine_alone(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
