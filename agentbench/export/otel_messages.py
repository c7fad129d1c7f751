"""Chat messages in the form of OpenTelemetry's GenAI conventions (a role and parts), and back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentbench.case import Message

Json = Mapping[str, Any]


def otel_message(message: Message, finish_reason: str | None = None) -> dict[str, Any]:
    """`{"role": …, "parts": […]}`: text, tool_call and tool_call_response; an answer's has its finish_reason."""
    role = str(message.get("role") or "assistant")
    if role == "tool":
        parts = [_tool_response(message)]
    else:
        parts = [*_texts(message.get("content")), *map(_tool_call, message.get("tool_calls") or ())]
    found: dict[str, Any] = {"role": role, "parts": parts}
    return found if finish_reason is None else {**found, "finish_reason": finish_reason}


def _texts(content: Any) -> list[dict[str, Any]]:
    if content is None or content == "":
        return []
    said = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
    return [{"type": "text", "content": said}]


def _tool_call(call: Any) -> dict[str, Any]:
    function = call.get("function", {}) if isinstance(call, Mapping) else {}
    arguments = function.get("arguments", "")
    try:
        parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        parsed = arguments
    return {"type": "tool_call", "id": call.get("id"), "name": function.get("name", ""), "arguments": parsed}


def _tool_response(message: Message) -> dict[str, Any]:
    return {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": message.get("content")}


def messages_of(value: Any) -> list[Message]:
    """The messages of an attribute: JSON, or already structured. `ValueError` for what is neither."""
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, Sequence):
        raise ValueError("messages are a list")
    return [message for each in found for message in _messages(each)]


def _messages(found: Any) -> Iterator[Message]:
    """One message of parts is one of ours, or one for each tool's response."""
    if not isinstance(found, Mapping):
        raise ValueError("a message is an object")
    role, parts = str(found.get("role", "user")), found.get("parts")
    if not isinstance(parts, Sequence) or isinstance(parts, str):
        yield {"role": role, "content": found.get("content")}
        return
    rest: list[Json] = []
    for part in parts:
        if isinstance(part, Mapping) and part.get("type") == "tool_call_response":
            said = part.get("response", part.get("result"))
            content = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
            yield {"role": "tool", "tool_call_id": part.get("id"), "content": content}
        elif isinstance(part, Mapping):
            rest.append(part)
    if rest or role != "tool":
        yield _message(role, rest)


def _message(role: str, parts: Sequence[Json]) -> Message:
    texts = [str(part.get("content", "")) for part in parts if part.get("type") == "text"]
    calls = [_call(part) for part in parts if part.get("type") == "tool_call"]
    message: dict[str, Any] = {"role": role, "content": "\n".join(texts) if texts or not calls else None}
    return {**message, "tool_calls": calls} if calls else message


def _call(part: Json) -> dict[str, Any]:
    arguments = part.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    function = {"name": str(part.get("name", "")), "arguments": text}
    return {"id": part.get("id"), "type": "function", "function": function}
