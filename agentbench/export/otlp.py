"""The OTLP JSON format: spans, and chat messages in the GenAI conventions (a role and parts).

A file is one request, or one a line; it may be gzip.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentbench.core.case import Message
from agentbench.core.errors import UserError

Json = Mapping[str, Any]


def otel_message(message: Message, finish_reason: str | None = None) -> dict[str, Any]:
    """`{"role": …, "parts": […]}` with parts text, tool_call, tool_call_response; an answer has its finish_reason."""
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
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
    return [{"type": "text", "content": text}]


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
    """The messages in an attribute, which is JSON or structured already. `ValueError` for anything else."""
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, Sequence):
        raise ValueError("messages are a list")
    return [message for each in found for message in _messages(each)]


def _messages(found: Any) -> Iterator[Message]:
    """A message with parts becomes one chat message, or one for each tool response."""
    if not isinstance(found, Mapping):
        raise ValueError("a message is an object")
    role, parts = str(found.get("role", "user")), found.get("parts")
    if not isinstance(parts, Sequence) or isinstance(parts, str):
        yield {"role": role, "content": found.get("content")}
        return
    rest: list[Json] = []
    for part in parts:
        if isinstance(part, Mapping) and part.get("type") == "tool_call_response":
            response = part.get("response", part.get("result"))
            content = response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Times are nanoseconds since the Unix epoch."""

    id: str
    trace: str
    name: str
    parent: str
    begin: int
    end: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()
    error: str | None = field(default=None)

    @property
    def operation(self) -> str:
        return str(self.attributes.get("gen_ai.operation.name", ""))


def is_traces(path: Path) -> bool:
    """Whether a file looks like OTLP JSON."""
    try:
        return b'"resourceSpans"' in bytes_of(path)[:4096]
    except UserError:
        return False


def bytes_of(path: Path) -> bytes:
    """The file's bytes, decompressed if needed; `UserError` when it can't be read."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise UserError(f"{path} can't be read: {error}") from None


def spans_of(path: Path, data: bytes) -> Iterator[Span]:
    """The spans in the bytes of the file at `path`; `UserError` when they are not OTLP."""
    text = data.decode("utf-8", "replace")
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = [_document(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for document in documents:
        try:
            yield from _of_request(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise UserError(f"{path} is not OTLP's JSON of traces: {reason}") from None


def _document(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise UserError(f"{path}, line {number}: not JSON: {error}") from None


def _of_request(document: Any) -> Iterator[Span]:
    for group in document["resourceSpans"]:
        resource = _attributes(group.get("resource", {}).get("attributes", ()))
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield _span(span, resource)


def _span(span: Mapping[str, Any], resource: Mapping[str, Any]) -> Span:
    status = span.get("status") or {}
    failed = status.get("code") in (2, "STATUS_CODE_ERROR")
    return Span(
        id=str(span.get("spanId", "")),
        trace=str(span["traceId"]),
        name=str(span.get("name", "")),
        parent=str(span.get("parentSpanId", "")),
        begin=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        attributes=_attributes(span.get("attributes", ())),
        resource=resource,
        events=[(str(each.get("name")), _attributes(each.get("attributes", ()))) for each in span.get("events", ())],
        error=(str(status.get("message") or "") or "it ended in an error") if failed else None,
    )


def _attributes(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {str(pair["key"]): _value(pair.get("value") or {}) for pair in pairs}


def _value(value: Mapping[str, Any]) -> Any:
    """An AnyValue of OTLP."""
    for kind, found in value.items():
        if kind == "intValue":
            return int(found)
        if kind == "doubleValue":
            return float(found)
        if kind == "arrayValue":
            return [_value(each) for each in found.get("values", ())]
        if kind == "kvlistValue":
            return _attributes(found.get("values", ()))
        return found
    return None
