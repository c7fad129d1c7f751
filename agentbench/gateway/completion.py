"""The answer to a request that is not streamed: one chat.completion object."""

import json
from collections.abc import Sequence
from typing import Any

from agentbench.core.trace import ModelCall
from agentbench.http.event_stream import DONE, events
from agentbench.openai_stream import parsed


def completion(call: ModelCall, pieces: Sequence[bytes]) -> bytes:
    """The recorded call as one object; ids, log probabilities and the like from the stream it came as."""
    chunks = _chunks(pieces)
    first = chunks[0] if chunks else {}
    choice: dict[str, Any] = {"index": 0, "message": _message(call), "finish_reason": call.finish_reason}
    if logprobs := _logprobs(chunks):
        choice["logprobs"] = {"content": logprobs}
    answer: dict[str, Any] = {
        "id": first.get("id", ""),
        "object": "chat.completion",
        "created": first.get("created", 0),
        "model": first.get("model", call.request.get("model", "")),
        "choices": [choice],
    }
    if call.prompt_tokens is not None or call.completion_tokens is not None:
        answer["usage"] = _usage(call)
    return json.dumps(answer).encode()


def _message(call: ModelCall) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, **call.reply}
    if message["content"] == message.get("refusal"):
        message["content"] = None
    return message


def _usage(call: ModelCall) -> dict[str, Any]:
    prompt, made = call.prompt_tokens or 0, call.completion_tokens or 0
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
    if call.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": call.cached_tokens}
    return usage


def _chunks(pieces: Sequence[bytes]) -> list[dict[str, Any]]:
    found = (data for _, data in events([(0, piece) for piece in pieces]) if data != DONE)
    return [chunk for data in found if isinstance(chunk := parsed(data), dict)]


def _logprobs(chunks: Sequence[dict[str, Any]]) -> list[Any]:
    choices = (choice for chunk in chunks for choice in chunk.get("choices") or ())
    parts = ((choice.get("logprobs") or {}).get("content") or () for choice in choices)
    return [entry for part in parts for entry in part]
