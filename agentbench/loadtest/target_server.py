"""A running server under test, with its capabilities: what it supports beyond OpenAI's basic API."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from agentbench.core.errors import UserError
from agentbench.core.protocols import Endpoint, Server
from agentbench.http.client import HttpClient, Target
from agentbench.http.exchange import Exchange
from agentbench.loadtest.record import Record, TurnExchange, record_of
from agentbench.loadtest.workload import Form, Turn
from agentbench.run.model_server import running
from agentbench.suite import registry
from agentbench.suite.config import Component
from agentbench.suite.former_defaults import stated_server

PROBE_TOKENS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """`form` is how to send a prompt with a known number of tokens. `continuous_usage` means that every chunk has token
    counts. `note` is the server's answer when probing failed.
    """

    form: Form = "ids"
    ignore_eos: bool = True
    continuous_usage: bool = False
    note: str = ""


def stream_options(continuous_usage: bool) -> dict[str, bool]:
    return {"include_usage": True, **({"continuous_usage_stats": True} if continuous_usage else {})}


async def find_capabilities(
    client: HttpClient, endpoint: Endpoint, forms: Sequence[Form], vocab: tuple[int, int]
) -> Capabilities:
    """The richest capabilities that the server accepts; `UserError` when it refuses all.

    An overloaded or failing server (429, 5xx) is assumed to have the first ones tried; its errors are counted later.
    """
    refusal = ""
    for capabilities in _candidates(forms):
        record = await _try(client, endpoint, capabilities, vocab)
        if record.error is None:
            return replace(capabilities, continuous_usage=capabilities.continuous_usage and record.counted)
        if record.status == 0:
            raise UserError(f"the server does not answer: {record.error}, {record.detail}. Is it running?")
        if record.status == 429 or record.status >= 500:
            note = f"the server's capabilities could not be probed: {record.error} {record.detail}"
            return replace(capabilities, continuous_usage=False, note=note)
        refusal = f"{record.error}: {record.detail}"
    raise UserError(
        f"the server refused every form of request that was tried, the last with {refusal!r}. Token ids were"
        f" {vocab[0]} and {vocab[1] - 1}; give others with --vocab LOW:HIGH."
    )


def _candidates(forms: Iterable[Form]) -> list[Capabilities]:
    found = []
    for form in forms:
        for ignore_eos in (True, False):
            for continuous in (True, False):
                found.append(Capabilities(form=form, ignore_eos=ignore_eos, continuous_usage=continuous))
    return found


async def _try(client: HttpClient, endpoint: Endpoint, capabilities: Capabilities, vocab: tuple[int, int]) -> Record:
    low, high = vocab
    prompts: dict[Form, dict[str, Any]] = {
        "ids": {"prompt": [low, high - 1]},
        "text": {"prompt": "one two"},
        "chat": {"messages": [{"role": "user", "content": "one two"}]},
    }
    body: dict[str, Any] = {**prompts[capabilities.form], "max_tokens": PROBE_TOKENS, "temperature": 0}
    if capabilities.ignore_eos:
        body["ignore_eos"] = True
    body |= {"model": endpoint.model, "stream": True, "stream_options": stream_options(capabilities.continuous_usage)}
    body = endpoint.body(body)
    turn = Turn(path="chat/completions" if capabilities.form == "chat" else "completions", body=body)
    exchange = TurnExchange(index=0, session=0, turn=0, request=turn, warmup=True, intended_at=perf_counter_ns())
    await client.send(client.encode(turn.path, body), exchange)
    return record_of(exchange, exchange.intended_at)


async def model_card(client: HttpClient, model: str) -> Mapping[str, Any]:
    """The server's entry for the model in /v1/models; empty when it is missing or unreadable."""
    exchange = Exchange()
    await client.get("models", exchange)
    try:
        cards = json.loads(exchange.body)["data"]
        found = next(card for card in cards if card.get("id") == model)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """A server to measure: its name in the report, and how to start or find it."""

    name: str
    server: Component


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetServer:
    """A server that is ready. `card` is its entry in /v1/models; `extra` is added to every request body."""

    name: str
    server: Component
    endpoint: Endpoint
    client: HttpClient
    card: Mapping[str, Any]
    capabilities: Capabilities = field(default_factory=Capabilities)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, turn: Turn) -> bytes:
        """The request for this server: with its model's name, and the stream options it supports."""
        streaming = {"stream": True, "stream_options": stream_options(self.capabilities.continuous_usage)}
        body = {"model": self.endpoint.model, **turn.body, **streaming}
        return self.client.encode(turn.path, {**self.endpoint.body(body), **self.extra})

    async def with_capabilities(self, forms: Sequence[Form], vocab: tuple[int, int]) -> "TargetServer":
        """The server with its capabilities, which a probe request finds out."""
        return replace(self, capabilities=await find_capabilities(self.client, self.endpoint, forms, vocab))

    @property
    def architecture(self) -> Mapping[str, Any] | None:
        """The model's size from its model card, which MBU and MFU need."""
        found = self.card.get("architecture")
        return found if isinstance(found, Mapping) else None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "server": {"name": self.server.name, **stated_server(self.server).options},
            "base_url": self.endpoint.base_url,
            "model": self.endpoint.model,
            "info": dict(self.endpoint.info),
            "card": dict(self.card),
            "form": self.capabilities.form,
            "ignore_eos": self.capabilities.ignore_eos,
            "continuous_usage": self.capabilities.continuous_usage,
            "note": self.capabilities.note,
        }


@asynccontextmanager
async def opened_target(
    wanted: TargetSpec, log_path: Path, timeout_s: float, extra: Mapping[str, Any]
) -> AsyncIterator[TargetServer]:
    """The server, started or found, until the context ends."""
    server: Server = registry.build("servers", wanted.server, prefix=("serving",))
    async with running(server, log_path) as endpoint:
        client = HttpClient(Target.of(endpoint), timeout_s)
        try:
            card = await model_card(client, endpoint.model)
            yield TargetServer(
                name=wanted.name, server=wanted.server, endpoint=endpoint, client=client, card=card, extra=dict(extra)
            )
        finally:
            client.close()
