"""An attempt's route through the gateway, and the tool calls that its framework executed itself."""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

from agentbench.core.case import Message
from agentbench.core.protocols import ChatClient, ChatRequest, Relay
from agentbench.core.trace import ModelCall, ToolCall
from agentbench.gateway.body import chat_request


@dataclass(slots=True, kw_only=True)
class Route:
    """A base URL and a key for one attempt; `client` makes the calls that arrive there.

    Neither can be guessed from those of another attempt.
    """

    client: ChatClient
    observed: "ObservedCalls"
    origin: str
    model: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    api_key: str = field(default_factory=lambda: f"sk-{secrets.token_urlsafe(24)}")
    _calls: set["asyncio.Task[ModelCall]"] = field(default_factory=set)
    first_request_at: int | None = None
    """When the first request arrived (`perf_counter_ns`)."""

    @property
    def base_url(self) -> str:
        return f"{self.origin}/{self.token}/v1"

    def start(self, body: dict[str, object], relay: Relay) -> "asyncio.Task[ModelCall]":
        """Start the call that `body` describes, as a task. `Refused` when the body is invalid."""
        request = chat_request(body)
        self.first_request_at = self.first_request_at or perf_counter_ns()
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
        """Cancel the running calls, and wait until they are recorded as cancelled."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


class ObservedCalls:
    """Finds the tool results that a request of an attempt contains for the first time.

    The gateway can only bound such a call's time: it begins when the reply with the call arrived, and ends when the
    request with its result was sent.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._functions: dict[str, dict[str, Any]] = {}
        self._called_at: dict[str, int] = {}

    def replied(self, call: ModelCall) -> None:
        """Remember the calls in a model's reply; their results may arrive in any later request."""
        for tool_call in _tool_calls([call.reply]):
            self._functions[str(tool_call.get("id"))] = tool_call.get("function") or {}
            self._called_at[str(tool_call.get("id"))] = call.ended_at

    def new(self, messages: Sequence[Message]) -> Iterator[ToolCall]:
        """The calls whose results are new in these messages, in order."""
        sent = {str(call.get("id")): call.get("function") or {} for call in _tool_calls(messages)}
        functions = self._functions | sent
        now = perf_counter_ns()
        counted: Counter[str] = Counter()
        for message in messages:
            call_id = str(message.get("tool_call_id"))
            if message.get("role") != "tool" or call_id not in functions:
                continue
            counted[call_id] += 1
            if counted[call_id] > self._seen[call_id]:
                self._seen[call_id] += 1
                yield self._call(call_id, functions[call_id], message, now)

    def _call(self, call_id: str, function: dict[str, Any], message: Message, now: int) -> ToolCall:
        arguments, error = _arguments(function.get("arguments"))
        return ToolCall(
            call_id=call_id,
            name=str(function.get("name", "")),
            arguments=arguments,
            started_at=min(self._called_at.get(call_id, now), now),
            ended_at=now,
            executed=True,
            result=_text(message.get("content")),
            error=error,
        )


def _tool_calls(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    for message in messages:
        calls = message.get("tool_calls")
        if message.get("role") == "assistant" and isinstance(calls, list):
            yield from (call for call in calls if isinstance(call, dict))


def _arguments(text: Any) -> tuple[dict[str, Any], str | None]:
    try:
        value = json.loads(text or "{}") if isinstance(text, str) else text
    except (ValueError, RecursionError) as error:
        return {}, f"the arguments are not valid JSON: {error}"
    return (value, None) if isinstance(value, dict) else ({}, "the arguments are not a JSON object")


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else json.dumps(content)
