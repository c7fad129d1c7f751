"""Requests to the application without a socket."""

import json
from typing import Any

import httpx2

from serving.config import HttpConfig
from serving.http.app import create_app
from serving.http.server import Drain
from tests.serving.fake_engine import FakeEngine

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
HTTP = HttpConfig(host="0.0.0.0", max_body_bytes=1_000_000)
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


def app_of(
    engine: FakeEngine,
    *,
    config: HttpConfig = HTTP,
    drain: Drain | None = None,
) -> Any:
    return create_app(
        engine,
        "m",
        start=lambda: None,
        shutdown=lambda: None,
        config=config,
        drain=drain or Drain(config.drain_s),
    )


def client_of(app: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://server")


async def post(engine: FakeEngine, body: object, path: str = CHAT) -> httpx2.Response:
    async with client_of(app_of(engine)) as client:
        return await client.post(path, content=body if isinstance(body, bytes) else json.dumps(body).encode())


async def get(path: str) -> httpx2.Response:
    async with client_of(app_of(FakeEngine())) as client:
        return await client.get(path)


def chunks(response: httpx2.Response) -> list[dict[str, Any]]:
    events = response.text.removesuffix("\n\n").split("\n\n")
    assert events.pop() == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]
