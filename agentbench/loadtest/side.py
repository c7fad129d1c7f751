"""A side: a server under test, running, and what is known of it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentbench.core.protocols import Endpoint, Server
from agentbench.http.client import HttpClient, Target
from agentbench.loadtest.dialect import Dialect, ask_dialect, model_card, stream_options
from agentbench.loadtest.random_prompts import Form
from agentbench.loadtest.workload import Turn
from agentbench.suite import registry
from agentbench.suite.config import Component


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSpec:
    """A server to be measured: the name it has in the report, and what starts or finds it."""

    name: str
    server: Component


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A server that answers. `card` is its entry in /v1/models; `extra` is added to every request body."""

    name: str
    server: Component
    endpoint: Endpoint
    client: HttpClient
    card: Mapping[str, Any]
    dialect: Dialect = field(default_factory=Dialect)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, turn: Turn) -> bytes:
        """The request as this server gets it: its model's name, and the stream options it understands."""
        streaming = {"stream": True, "stream_options": stream_options(self.dialect.continuous_usage)}
        body = {"model": self.endpoint.model, **turn.body, **streaming}
        return self.client.encode(turn.path, {**self.endpoint.body(body), **self.extra})

    async def asked(self, forms: Sequence[Form], vocab: tuple[int, int]) -> "Side":
        return replace(self, dialect=await ask_dialect(self.client, self.endpoint, forms, vocab))

    @property
    def architecture(self) -> Mapping[str, Any] | None:
        """What the model card says of the model's size, which MBU and MFU need."""
        found = self.card.get("architecture")
        return found if isinstance(found, Mapping) else None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "server": {"name": self.server.name, **self.server.options},
            "base_url": self.endpoint.base_url,
            "model": self.endpoint.model,
            "info": dict(self.endpoint.info),
            "card": dict(self.card),
            "form": self.dialect.form,
            "ignore_eos": self.dialect.ignore_eos,
            "continuous_usage": self.dialect.continuous_usage,
            "note": self.dialect.note,
        }


@asynccontextmanager
async def opened_side(
    wanted: SideSpec, log_path: Path, timeout_s: float, extra: Mapping[str, Any]
) -> AsyncIterator[Side]:
    """The server, started or found, for as long as the context lasts."""
    server: Server = registry.build("servers", wanted.server, prefix=("serving",))
    try:
        endpoint = await server.start(log_path)
        client = HttpClient(Target.of(endpoint), timeout_s)
        try:
            card = await model_card(client, endpoint.model)
            yield Side(
                name=wanted.name, server=wanted.server, endpoint=endpoint, client=client, card=card, extra=dict(extra)
            )
        finally:
            client.close()
    finally:
        await server.stop()
