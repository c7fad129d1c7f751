"""A server that speaks OpenAI's chat completions over HTTP, streamed, with the time of every chunk."""

from time import perf_counter_ns
from typing import Any

import openai
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, ConfigDict, Field

from agentbench.backends.chunks import ReplyBuilder
from agentbench.errors import AttemptError
from agentbench.protocols import ChatRequest, Endpoint
from agentbench.trace import ModelCall


class OpenAIHttpConfig(BaseModel):
    """Options of the `openai_http` backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_s: float = Field(600.0, gt=0, description="Limit of one request in seconds.")


class OpenAIHttpBackend:
    """Sends each request once (the runner retries attempts, so that no retry hides in a latency)."""

    Config = OpenAIHttpConfig
    needs_server = True

    def __init__(self, config: OpenAIHttpConfig, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = AsyncOpenAI(
            base_url=endpoint.base_url, api_key=endpoint.api_key, timeout=config.timeout_s, max_retries=0
        )

    async def chat(self, request: ChatRequest) -> ModelCall:
        body = self._body(request)
        intended_at = perf_counter_ns()
        try:
            sent_at = perf_counter_ns()
            stream: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(**body)
            builder = ReplyBuilder()
            async with stream:
                async for chunk in stream:
                    builder.add(chunk, perf_counter_ns())
        except openai.APIStatusError as error:
            kind = "infra" if error.status_code == 429 or error.status_code >= 500 else "agent"
            raise AttemptError(kind, f"HTTP {error.status_code}: {error.message}") from error  # type: ignore[arg-type]
        except openai.OpenAIError as error:
            raise AttemptError("infra", f"no answer from {self._endpoint.base_url}: {_cause(error)}") from error
        if builder.finish_reason is None:
            raise AttemptError(
                "infra", f"the stream from {self._endpoint.base_url} ended before its answer was complete"
            )
        recorded = {key: value for key, value in body.items() if key not in ("messages", "stream", "stream_options")}
        return builder.model_call(messages=request.messages, request=recorded, intended_at=intended_at, sent_at=sent_at)

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
            "extra_body": dict(request.extra) or None,
        }
        return {key: value for key, value in body.items() if value is not None}

    async def aclose(self) -> None:
        await self._client.close()


def _tool(name: str, description: str, parameters: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def _cause(error: BaseException) -> str:
    """The innermost reason: the client wraps "connection refused" in "Connection error."."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
