"""Asking the application without a socket."""

import json
from collections.abc import Collection
from typing import Any

import httpx2

from serving.http.app import create_app
from serving.http.server import Drain, HttpLimits
from tests.serving.fake_engine import FakeEngine

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
LIMITS = HttpLimits(max_body_bytes=1_000_000, request_timeout_s=60, slow_reader_timeout_s=60, drain_s=5)
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


def app_of(
    engine: FakeEngine,
    *,
    api_key: str | None = None,
    drain: Drain | None = None,
    limits: HttpLimits = LIMITS,
    hosts: Collection[str] | None = None,
) -> Any:
    return create_app(
        engine,
        "m",
        start=lambda: None,
        shutdown=lambda: None,
        limits=limits,
        drain=drain or Drain(limits.drain_s),
        api_key=api_key,
        hosts=hosts,
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
