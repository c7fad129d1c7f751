"""Requests with a plain JSON answer: a server's models, embeddings of texts."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentbench.http.client import HttpClient
from agentbench.http.exchange import Exchange, refusal, retry_after_s

PAUSES_S = (0.5, 2.0)
"""Pauses before each retry of a request that is safe to repeat."""
MOST_WAIT_S = 30.0
"""Longest pause that a busy server may ask for."""
BUSY = (408, 409, 429)


class NoAnswer(Exception):
    """No usable answer arrived; `status` is that of a refusal, 0 when there was no response."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


async def model_names(client: HttpClient) -> list[str]:
    """The names that the server lists; empty when its list is unreadable. Raises `NoAnswer`."""
    exchange = Exchange()
    await client.get("models", exchange)
    try:
        return [str(model["id"]) for model in _decoded(exchange)["data"]]
    except (KeyError, TypeError):
        return []


async def post(client: HttpClient, path: str, body: Mapping[str, Any], pauses_s: Sequence[float] = PAUSES_S) -> Any:
    """The decoded answer. The request is repeated when the server is busy or the connection fails; then raises
    `NoAnswer`.
    """
    request = client.encode(path, body)
    exchange = Exchange()
    await client.send(request, exchange)
    for pause_s in pauses_s:
        if not (exchange.error or exchange.status in BUSY or exchange.status >= 500):
            break
        await asyncio.sleep(max(pause_s, min(MOST_WAIT_S, retry_after_s(exchange.headers) or 0)))
        exchange = Exchange()
        await client.send(request, exchange)
    return _decoded(exchange)


def _decoded(exchange: Exchange) -> Any:
    if exchange.error:
        raise NoAnswer(exchange.detail, 0)
    if 300 <= exchange.status < 400:
        raise NoAnswer(
            f"moved to {exchange.headers.get('location', '').partition('?')[0]}; give that address", exchange.status
        )
    if exchange.status != 200:
        raise NoAnswer(f"HTTP {exchange.status}: {refusal(exchange.body)}", exchange.status)
    try:
        return json.loads(exchange.body)
    except ValueError:
        raise NoAnswer(f"an answer that is no JSON: {exchange.body[:80]!r}", exchange.status) from None
