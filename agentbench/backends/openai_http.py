"""The `openai_http` backend: streams OpenAI chat completions over HTTP and records the time of every chunk."""

import asyncio
import json
from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.errors import AttemptError, ServerRefused
from agentbench.core.protocols import BrokenOff, ChatRequest, CutOff, Endpoint, Relay
from agentbench.core.trace import ModelCall
from agentbench.http.client import HttpClient, Target
from agentbench.http.exchange import Exchange, refusal, retry_after_s
from agentbench.openai_stream import StreamedAnswer, as_events, decode, is_one_piece

NOT_RECORDED = ("messages", "stream", "stream_options")


class OpenAIHttpConfig(BaseModel):
    """Options of the `openai_http` backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_s: float = Field(600.0, gt=0, description="Limit of one request in seconds, from connecting to the end.")


class OpenAIHttpBackend:
    """Sends each request once; the runner retries attempts, so that no retry hides in a latency.

    There is one exception: the connection was closed while idle. The request is then sent once more on a new one,
    before any byte of an answer; its time starts at the first sending. Times are receive times. An answer is decoded
    after its end, since decoding would delay reading the other streams.
    """

    Config = OpenAIHttpConfig
    needs_server = True

    def __init__(self, config: OpenAIHttpConfig, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = HttpClient(Target.of(endpoint), config.timeout_s)

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        body = self._body(request)
        exchange = Exchange(begun=_Begun(relay), relay=_EventsOnly(relay)) if relay else Exchange()
        intended_at = perf_counter_ns()
        try:
            await self._client.send(self._client.encode("chat/completions", body), exchange)
            answer = self._answer(exchange)
        except asyncio.CancelledError:
            if seen := _seen(exchange, request, body, intended_at):
                raise CutOff(seen) from None
            raise
        except ServerRefused:
            raise
        except AttemptError as error:
            if seen := _seen(exchange, request, body, intended_at):
                raise BrokenOff(error.kind, str(error), seen) from None
            raise
        if relay and is_one_piece(exchange.body):
            relay(as_events(json.loads(exchange.body)))
        return _call(answer, exchange, request, body, intended_at)

    def _answer(self, exchange: Exchange) -> StreamedAnswer:
        """The complete answer; `AttemptError` when there is none."""
        url = self._endpoint.base_url
        if exchange.error:
            raise AttemptError("infra", f"no answer from {url}: {exchange.detail}")
        if exchange.status != 200:
            raise _refused(exchange)
        answer = decode(exchange.pieces)
        if answer.error:
            raise AttemptError("infra", f"no answer from {url}: {answer.error}")
        if not answer.is_complete:
            raise AttemptError("infra", f"the stream from {url} ended before its answer was complete")
        return answer

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        options: dict[str, Any] = {"include_usage": True}
        if self._endpoint.continuous_usage:
            options["continuous_usage_stats"] = True
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "messages": list(request.messages),
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
            "stop": list(request.stop) or None,
            "tools": [_tool(spec.name, spec.description, spec.parameters) for spec in request.tools] or None,
            "tool_choice": request.tool_choice,
            "response_format": request.response_format,
            "stream": True,
            "stream_options": options,
        }
        fields = {key: value for key, value in body.items() if value is not None} | dict(request.extra)
        return self._endpoint.body(fields)

    async def aclose(self) -> None:
        self._client.close()


def _call(
    answer: StreamedAnswer, exchange: Exchange, request: ChatRequest, body: Mapping[str, Any], intended_at: int
) -> ModelCall:
    chunks = answer.chunks()
    return ModelCall(
        messages=request.messages,
        request={key: value for key, value in body.items() if key not in NOT_RECORDED},
        reply=answer.message(),
        finish_reason=answer.finish_reason,
        intended_at=intended_at,
        sent_at=exchange.sent_at,
        ended_at=answer.ended_at,
        chunk_at=chunks.at,
        chunk_tokens=chunks.tokens if chunks.counted or answer.completion_tokens is None else (),
        silent_chunks=chunks.silent,
        prompt_tokens=answer.prompt_tokens,
        cached_tokens=answer.cached_tokens,
        completion_tokens=answer.completion_tokens,
    )


def _seen(exchange: Exchange, request: ChatRequest, body: Mapping[str, Any], intended_at: int) -> ModelCall | None:
    """The part of a broken or cancelled answer that had arrived, with its times; None when nothing had."""
    if exchange.status != 200 or not exchange.pieces:
        return None
    call = _call(decode(exchange.pieces), exchange, request, body, intended_at)
    return call if call.chunk_at else None


class _Begun:
    """Relays the beginning of an event stream, so that the client has the answer's head before the first token."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def __call__(self, headers: Mapping[str, str]) -> None:
        if headers.get("content-type", "").startswith("text/event-stream"):
            self._relay(b"")


class _EventsOnly:
    """Relays an event stream as it arrives, and drops an answer that is no stream."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._is_stream: bool | None = None

    def __call__(self, piece: bytes) -> None:
        if self._is_stream is None and piece.strip():
            self._is_stream = not is_one_piece(piece)
        if self._is_stream:
            self._relay(piece)


def _tool(name: str, description: str, parameters: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def _refused(exchange: Exchange) -> AttemptError:
    status = exchange.status
    message = refusal(exchange.body)
    if 300 <= status < 400:
        message = f"moved to {exchange.headers.get('location', '').partition('?')[0]}; give that address"
    return ServerRefused(status, message, retry_after_s(exchange.headers))
