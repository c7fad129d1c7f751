"""Turns a chat completions body into a request to the run's backend."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from agentbench.core.case import ToolSpec
from agentbench.core.protocols import ChatRequest
from agentbench.gateway.refusal import Refused

TYPED = ("tool_choice", "response_format", "temperature", "top_p", "max_tokens", "seed")
"""Keys that equal a field of `ChatRequest` in name and shape."""

OURS = frozenset({*TYPED, "messages", "model", "stream", "stream_options", "tools", "stop", "n"})


def parse_body(content: bytes) -> Mapping[str, Any]:
    """The body as an object; `Refused` when it is not a JSON object."""
    try:
        body = json.loads(content, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(400, f"the body is a JSON {type(body).__name__}, not an object")
    return body


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _finite(text: str) -> float:
    """A finite number. Python reads 1e999 as infinity, which JSON can't express."""
    return value if math.isfinite(value := float(text)) else _no_number(text)


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """The request; `extra` holds the keys without a field of their own. The model is always the run's."""
    messages = body.get("messages")
    if not _is_objects(messages) or not messages:
        raise Refused(400, "messages: expected a list of one or more objects")
    for number, message in enumerate(messages):
        if not _is_calls(message.get("tool_calls")):
            raise Refused(400, f"messages[{number}].tool_calls: expected calls with a function's name and arguments")
    if body.get("n") not in (None, 1):
        raise Refused(400, f"n = {body['n']!r}: only one choice per request is recorded; send {body['n']} requests")
    extra = {key: value for key, value in body.items() if key not in OURS and value is not None}
    tools, raw = _tools(body.get("tools"))
    return ChatRequest(
        messages=tuple(messages),
        tools=tools,
        stop=_stop(body.get("stop")),
        extra=extra | ({"tools": raw} if raw else {}),
        **{key: body.get(key) for key in TYPED},
    )


def _is_calls(calls: Any) -> bool:
    """Whether a message's tool calls have the shape that readers of the record rely on; None is fine."""
    if calls is None:
        return True
    functions = [call.get("function") for call in calls] if _is_objects(calls) else [None]
    return all(
        isinstance(function, dict)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments") or "", str | dict)
        for function in functions
    )


def _stop(stop: Any) -> tuple[str, ...]:
    texts = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(400, "stop: expected a text or a list of texts")
    return tuple(texts)


def _tools(tools: Any) -> tuple[tuple[ToolSpec, ...], Sequence[Any]]:
    """The tools as specs; a tool that a spec can't fully express stays in its original form."""
    if tools is None or tools == []:
        return (), ()
    if not _is_objects(tools) or not all(isinstance(tool.get("function"), dict) for tool in tools):
        raise Refused(400, 'tools: expected a list of {"type": "function", "function": {…}}')
    specs = tuple(
        ToolSpec(
            name=str(tool["function"].get("name", "")),
            description=str(tool["function"].get("description") or ""),
            parameters=tool["function"].get("parameters") or {"type": "object", "properties": {}},
        )
        for tool in tools
    )
    plain = all(set(tool["function"]) <= {"name", "description", "parameters"} for tool in tools)
    return specs, () if plain else tools


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
