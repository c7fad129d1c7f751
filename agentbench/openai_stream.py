"""The decoder of OpenAI API answers: their content and the times of their tokens, for the variants of all servers.

Runs, load tests, the gateway and trace replay all use it. `decode` takes the timed reads of a complete body.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from agentbench.core.case import Message
from agentbench.http.event_stream import DONE, EndlessStream, events
from agentbench.http.exchange import message_of

OBJECT = b"{"
MOST_TOKENS = 2**53
"""No answer has more; a count above is a server's mistake, and sums of such counts would not fit a database."""


def token_count(value: Any) -> int | None:
    """A server's token count, None when it gave none. `ValueError` for an invalid one."""
    if value is None or (type(value) is int and 0 <= value <= MOST_TOKENS):
        return value
    if isinstance(value, bool | str) or not 0 <= value <= MOST_TOKENS or value != int(value):
        raise ValueError(f"{value!r:.40} is no number of tokens")
    return int(value)


def text_of(content: Any) -> str:
    """The text of a message or a delta: a string, a list of parts, or nothing. `ValueError` for anything else."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_texts(content, "text"))


def thoughts_of(delta: Mapping[str, Any]) -> str:
    """The reasoning in a delta, from any of its field names or from content parts of that type."""
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
    """The model's refusal, which replaces an answer."""
    found = delta.get("refusal")
    return found if isinstance(found, str) else ""


def delta_of(choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice's part of the answer: the delta in a stream, the message in an answer in one piece."""
    return choice.get("delta") or choice.get("message") or {}


def failure_of(choice: Mapping[str, Any]) -> Any:
    """Why the server aborted a choice, or None."""
    error = choice.get("error")
    if error or choice.get("finish_reason") == "error":
        return error or "the server ended the answer with finish_reason 'error'"
    return None


def is_one_piece(body: bytes) -> bool:
    """Whether the body is one JSON object instead of an event stream, whatever its content type says."""
    return body[:64].lstrip().startswith(OBJECT)


def as_events(body: Mapping[str, Any]) -> bytes:
    """An answer in one piece, converted to the event stream that was requested."""
    choices = []
    for choice in body.get("choices") or ():
        delta = dict(delta_of(choice))
        if delta.get("tool_calls"):
            delta["tool_calls"] = ToolCalls().add(delta["tool_calls"])
        choices.append({"index": 0, **choice, "delta": delta})
        choices[-1].pop("message", None)
    chunk = {**body, "object": "chat.completion.chunk", "choices": choices}
    return b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChunks:
    """The time of each chunk with tokens, and its number of tokens.

    `counted` means that the server counted in every chunk; otherwise each event with content counts as one token. The
    first `silent` chunks are invisible to a reader.
    """

    at: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    counted: bool = False
    silent: int = 0


class BadCount(ValueError):
    """An invalid token count."""


class StreamedAnswer:
    """An answer assembled from its events, which `feed` takes in order.

    All events of one read form one chunk. A chunk has a token when a reader sees part of it (text, reasoning, a
    refusal, part of a tool call), or when the server's running count rises. In a text completion without counts, an
    empty text is a token too. A role alone is none, and neither is the closing event, unless the length limit ended the
    answer. `error` is why the answer is invalid.
    """

    def __init__(self, *, in_one_piece: bool = False) -> None:
        self.in_one_piece = self.done = in_one_piece
        self.finish_reason: str | None = None
        self.error = ""
        self.ended_at = 0
        self.prompt_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.completion_tokens: int | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls = ToolCalls()
        self._at: list[int] = []
        self._counts: list[int | None] = []  # of each chunk: the tokens so far, as the server counts
        self._events: list[int] = []  # of each chunk: the events that are tokens without a count too
        self._seen_at: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the server marked the answer as complete."""
        return self.done or self.finish_reason is not None

    @property
    def carried(self) -> bool:
        """Whether the answer had any content."""
        return bool(self._text or self._reasoning or self._refusal or self._calls)

    def read(self, at: int, data: bytes) -> None:
        """Parse and take one event; an invalid event is an error of the answer."""
        try:
            self.feed(at, parsed(data))
        except BadCount as error:
            self.error = str(error)
        # What the shape of an event makes of the rules that read it.
        except (ValueError, TypeError, AttributeError, RecursionError):
            self.error = f"an event that is no chunk of an answer: {data[:80].decode('utf-8', 'replace')!r}"

    def feed(self, at: int, event: Mapping[str, Any]) -> None:
        """Take one decoded event, and the time at which its last byte arrived."""
        failure = event.get("error")
        count = None if failure else self._usage(event.get("usage"))
        was_open = self.finish_reason is None
        seen = blank = False
        for choice in () if failure else event.get("choices") or ():
            if failure := failure_of(choice):
                break
            seen = self._take(choice) or seen
            blank = blank or (choice.get("text") == "" and not choice.get("finish_reason"))
        if failure:
            self.error = message_of(failure)
            return
        self.ended_at = at
        is_silent_token = blank if count is None else was_open and self._rose(count)
        if (seen or is_silent_token) and not self.in_one_piece:
            self._stamp(at, count, seen, blank)

    def _usage(self, usage: Mapping[str, Any] | None) -> int | None:
        """Stores the server's counts; returns the completion tokens, None when the event has none."""
        if not usage:
            return None
        details = usage.get("prompt_tokens_details") or {}
        prompt, count = _counted(usage, "prompt_tokens"), _counted(usage, "completion_tokens")
        cached = _counted(details, "cached_tokens", "prompt_tokens_details.")
        self.prompt_tokens = self.prompt_tokens if prompt is None else prompt
        self.cached_tokens = self.cached_tokens if cached is None else cached
        self.completion_tokens = self.completion_tokens if count is None else count
        return count

    def _take(self, choice: Mapping[str, Any]) -> bool:
        """Adds the choice to the answer; returns whether a reader sees part of it."""
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        delta = delta_of(choice)
        seen = False
        for text, parts in (
            (text_of(choice.get("text")) or text_of(delta.get("content")), self._text),
            (thoughts_of(delta), self._reasoning),
            (refusal_of(delta), self._refusal),
        ):
            if text:
                parts.append(text)
                seen = True
        if calls := delta.get("tool_calls"):
            self._calls.add(calls)
            seen = True
        return seen

    def _rose(self, count: int) -> bool:
        before = self._counts[-1] if self._counts else 0
        return self.finish_reason in (None, "length") and before is not None and count > before

    def _stamp(self, at: int, count: int | None, seen: bool, blank: bool) -> None:
        if seen and self._seen_at is None:
            self._seen_at = at
        if self._at and self._at[-1] == at:
            self._counts[-1] = count
            self._events[-1] += seen or blank
        else:
            self._at.append(at)
            self._counts.append(count)
            self._events.append(int(seen or blank))

    def chunks(self) -> TokenChunks:
        """The chunks with tokens. Counts are used only when the server counted in every chunk."""
        rises = _rises(self._counts)
        found = list(zip(self._at, rises or self._events, self._events, strict=True))
        chunks = found if rises else [chunk for chunk in found if chunk[-1]]
        at = tuple(chunk[0] for chunk in chunks)
        silent = len(at) if self._seen_at is None else at.index(self._seen_at)
        return TokenChunks(at=at, tokens=tuple(chunk[1] for chunk in chunks), counted=bool(rises), silent=silent)

    def message(self) -> Message:
        """The answer as a message for a later request; a refusal is its content too."""
        refusal = "".join(self._refusal)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text) or refusal or None}
        if refusal:
            message["refusal"] = refusal
        if reasoning := "".join(self._reasoning):
            message["reasoning_content"] = reasoning
        if calls := self._calls.calls():
            message["tool_calls"] = calls
        return message

    @property
    def digest(self) -> str:
        """The start of the SHA-256 of its content."""
        functions = [json.dumps(call["function"], sort_keys=True) for call in self._calls.calls()]
        text = "".join([*self._reasoning, *self._text, *self._refusal, *functions])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def decode(pieces: list[tuple[int, bytes]]) -> StreamedAnswer:
    """The answer in the reads of a body, which is an event stream or one object. Decoding stops at the first error."""
    if pieces and is_one_piece(b"".join(piece for _, piece in pieces[:8])):
        answer = StreamedAnswer(in_one_piece=True)
        answer.read(pieces[-1][0], b"".join(piece for _, piece in pieces))
        return answer
    answer = StreamedAnswer()
    try:
        for at, data in events(pieces):
            if data == DONE or answer.error:
                answer.done = True
                break
            answer.read(at, data)
    except EndlessStream as error:
        answer.error = str(error)
    return answer


def parsed(data: bytes) -> Any:
    """The JSON of an event. Lone surrogates are preserved, since some servers send a character in two halves."""
    try:
        return from_json(data)
    except ValueError:
        return json.loads(data)


def _counted(counts: Mapping[str, Any], name: str, inside: str = "") -> int | None:
    try:
        return token_count(counts.get(name))
    except ValueError as error:
        raise BadCount(f"usage.{inside}{name}: {error}") from None


def _rises(counts: Sequence[int | None]) -> list[int]:
    """The tokens of each chunk, when every chunk has a running count that never falls; otherwise nothing."""
    running = [count for count in counts if count is not None]
    if len(running) != len(counts) or running != sorted(running) or not any(running):
        return []
    return [now - before for before, now in zip([0, *running], running, strict=False)]


class ToolCalls:
    """Assembles tool calls from fragments.

    Some servers omit `index`, give every call the same one, repeat id or name in each fragment, or send arguments as an
    object. A new id with a name therefore starts a new call, and a known name is not appended.
    """

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, str]] = {}
        self._places: dict[int, int] = {}
        self._last = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, fragments: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The fragments of one delta in OpenAI's form: with their call's index, and its name only once."""
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
        same_id = next((place for place, call in self._calls.items() if call_id and call["id"] == call_id), None)
        if same_id is not None:
            return same_id
        if not isinstance(index, int):
            if not (call_id or name or position):
                return self._last
            index = position
        place = self._places.get(index)
        if place is None or (place in self._calls and _begins(self._calls[place], call_id, name, arguments)):
            place = self._places[index] = index if index not in self._calls else max(self._calls) + 1
        return place

    def calls(self) -> list[dict[str, Any]]:
        """The calls in order, in the form of a message."""
        return [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for _, call in sorted(self._calls.items())
        ]


def _shown(function: Mapping[str, Any], added: str, arguments: str) -> dict[str, Any]:
    """The function to pass on; a known name is left out, since clients concatenate names."""
    shown = dict(function)
    if function.get("name") and not added:
        del shown["name"]
    if function.get("arguments") is not None:
        shown["arguments"] = arguments
    return shown


def _begins(call: Mapping[str, str], call_id: str, name: str, arguments: str) -> bool:
    """Whether a fragment starts another call than the one at its index."""
    if call_id and call["id"] and call_id != call["id"]:
        return bool(name) or not arguments
    if call_id or not name:
        return False
    if name != call["name"]:
        return bool(call["arguments"])
    return _is_object(call["arguments"]) and arguments.lstrip().startswith("{")


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _arguments(value: Any) -> str:
    """Arguments as text: some servers send the object itself."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
