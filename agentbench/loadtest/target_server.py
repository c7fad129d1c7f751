"""A running server under test, and its properties."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentbench.core.protocols import Endpoint, Server
from agentbench.http.client import HttpClient, Target
from agentbench.loadtest.capabilities import Capabilities, find_capabilities, model_card, stream_options
from agentbench.loadtest.random_prompts import Form
from agentbench.loadtest.workload import Turn
from agentbench.run.model_server import running
from agentbench.suite import registry
from agentbench.suite.config import Component


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
            "server": {"name": self.server.name, **self.server.options},
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
