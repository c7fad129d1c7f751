"""What an answer of OpenAI's API says, where servers differ in how they say it: rules that all who read one share."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

OBJECT = b"{"
MOST_TOKENS = 2**53
"""No answer has more; a count above is a server's mistake, and sums of such counts would not fit a database."""


def token_count(value: Any) -> int | None:
    """A number of tokens as a server told it, None where it told none. `ValueError` for what is none."""
    if value is None:
        return None
    if isinstance(value, bool | str) or not 0 <= value <= MOST_TOKENS or value != int(value):
        raise ValueError(f"{value!r:.40} is no number of tokens")
    return int(value)


def text_of(content: Any) -> str:
    """The text of a message or a delta: a text, a list of parts, or nothing. `ValueError` for anything else."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_texts(content, "text"))


def thoughts_of(delta: Mapping[str, Any]) -> str:
    """The reasoning, under whichever of its names has one, or in the content's parts of that type."""
    named = (delta.get(name) for name in ("reasoning_content", "reasoning"))
    found = next((text for text in named if text and isinstance(text, str)), "")
    content = delta.get("content")
    return found + ("".join(_texts(content, "thinking")) if isinstance(content, list) else "")


def _texts(parts: Any, kind: str) -> Iterator[str]:
    if not isinstance(parts, list):
        raise ValueError(f"expected a text or a list of parts, not {parts!r:.40}")
    for part in parts:
        found = part.get(kind) if isinstance(part, dict) and part.get("type", kind) == kind else None
        if isinstance(part, str):
            yield part if kind == "text" else ""
        elif found is not None:
            yield text_of(found)


def refusal_of(delta: Mapping[str, Any]) -> str:
    """What the model said instead of an answer."""
    found = delta.get("refusal")
    return found if isinstance(found, str) else ""


def said_in(choice: Mapping[str, Any]) -> dict[str, Any]:
    """What a choice adds to the answer: of a stream its delta, of an answer in one piece its message."""
    return choice.get("delta") or choice.get("message") or {}


def failure_of(choice: Mapping[str, Any]) -> Any:
    """Why the server gave a choice up, None when it did not."""
    error = choice.get("error")
    if error or choice.get("finish_reason") == "error":
        return error or "the server ended the answer with finish_reason 'error'"
    return None


def is_one_piece(body: bytes) -> bool:
    """Whether the body is no event stream but one JSON object, whatever was asked for and its type says."""
    return body[:64].lstrip().startswith(OBJECT)


def as_events(body: Mapping[str, Any]) -> bytes:
    """An answer in one piece as the event stream that was asked for."""
    choices = []
    for choice in body.get("choices") or ():
        delta = dict(said_in(choice))
        if delta.get("tool_calls"):
            delta["tool_calls"] = ToolCalls().add(delta["tool_calls"])
        choices.append({"index": 0, **choice, "delta": delta})
        choices[-1].pop("message", None)
    chunk = {**body, "object": "chat.completion.chunk", "choices": choices}
    return b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"


class ToolCalls:
    """Puts fragments of tool calls together.

    Servers leave `index` out, give every call the same, send an id or a name again with each fragment, or the
    arguments as an object: a new id with a name begins a new call, and a name that is there already is not added.
    """

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, str]] = {}
        self._places: dict[int, int] = {}
        self._last = 0

    def add(self, fragments: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The fragments of one delta as OpenAI would have sent them: at their call's index, its name once."""
        return [self._add(position, fragment) for position, fragment in enumerate(fragments)]

    def _add(self, position: int, fragment: Mapping[str, Any]) -> dict[str, Any]:
        function = fragment.get("function") or {}
        call_id, name = str(fragment.get("id") or ""), str(function.get("name") or "")
        arguments = _arguments(function.get("arguments"))
        place = self._last = self._place(fragment.get("index"), position, call_id, name, arguments)
        call = self._calls.setdefault(place, {"id": "", "name": "", "arguments": ""})
        added = "" if name == call["name"] else name
        call["id"] = call["id"] or call_id
        call["name"] += added
        call["arguments"] += arguments
        return {**fragment, "index": place, "function": _shown(function, added, arguments)}

    def _place(self, index: Any, position: int, call_id: str, name: str, arguments: str) -> int:
        known = next((place for place, call in self._calls.items() if call_id and call["id"] == call_id), None)
        if known is not None:
            return known
        if not isinstance(index, int):
            if not (call_id or name or position):
                return self._last
            index = position
        place = self._places.get(index)
        if place is None or (place in self._calls and _begins(self._calls[place], call_id, name, arguments)):
            place = self._places[index] = index if index not in self._calls else max(self._calls) + 1
        return place

    def whole(self) -> list[dict[str, Any]]:
        """The calls in their order, as a message has them."""
        return [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for _, call in sorted(self._calls.items())
        ]


def _shown(function: Mapping[str, Any], added: str, arguments: str) -> dict[str, Any]:
    """The function as it is given on: a name that is there already is left out, since clients add names up."""
    shown = dict(function)
    if function.get("name") and not added:
        del shown["name"]
    if function.get("arguments") is not None:
        shown["arguments"] = arguments
    return shown


def _begins(call: Mapping[str, str], call_id: str, name: str, arguments: str) -> bool:
    """Whether a fragment is the first of another call than the one at its index."""
    if call_id and call["id"] and call_id != call["id"]:
        return bool(name) or not arguments
    if call_id or not name:
        return False
    if name != call["name"]:
        return bool(call["arguments"])
    return _is_whole(call["arguments"]) and arguments.lstrip().startswith("{")


def _is_whole(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _arguments(value: Any) -> str:
    """Arguments as text: some servers send the object itself."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
