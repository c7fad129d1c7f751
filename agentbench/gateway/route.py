"""One attempt's way through the gateway."""

import asyncio
import secrets
from dataclasses import dataclass, field
from time import perf_counter_ns

from agentbench.core.protocols import ChatClient, ChatRequest, Relay
from agentbench.core.trace import ModelCall
from agentbench.gateway.body import chat_request
from agentbench.gateway.observed import ObservedCalls


@dataclass(slots=True, kw_only=True)
class Route:
    """A base URL and a key that are good for one attempt; calls made there are made by its `client`.

    Neither can be guessed from another attempt's.
    """

    client: ChatClient
    observed: ObservedCalls
    origin: str
    model: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    api_key: str = field(default_factory=lambda: f"sk-{secrets.token_urlsafe(24)}")
    _calls: set["asyncio.Task[ModelCall]"] = field(default_factory=set)
    asked_at: int | None = None
    """When the first request came (`perf_counter_ns`)."""

    @property
    def base_url(self) -> str:
        return f"{self.origin}/{self.token}/v1"

    def start(self, body: dict[str, object], relay: Relay) -> "asyncio.Task[ModelCall]":
        """Make the call that `body` asks for, as a task. `Refused` when it asks for none."""
        request = chat_request(body)
        self.asked_at = self.asked_at or perf_counter_ns()
        for call in self.observed.new(request.messages):
            self.client.observe(call)
        task = asyncio.create_task(self._chat(request, relay))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    async def _chat(self, request: ChatRequest, relay: Relay) -> ModelCall:
        call = await self.client.chat(request, relay)
        self.observed.replied(call)
        return call

    async def close(self) -> None:
        """Cancel the calls that are still running, and wait until they are recorded as that."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
