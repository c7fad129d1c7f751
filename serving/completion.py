"""Answers in OpenAI's shape: bodies and chunks made of the engine's deltas."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from serving.request import TokenDelta
from serving.tool_calls import CallStart, Content, Event, ToolCallStream

Json = dict[str, Any]


class Answer(Protocol):
    """Turns the deltas of one request, in order, into what the client gets. One per request."""

    kind: str
    chunk_kind: str

    def opening(self) -> Json | None:
        """The choice of the first chunk, which comes before any text."""
        ...

    def choices(self, delta: TokenDelta) -> Iterator[Json]:
        """The choices of the chunks that a delta makes, without its finish reason."""
        ...

    def silence(self) -> Json:
        """The choice of a chunk that only tells that a token came: its text is held back."""
        ...

    def closing(self, delta: TokenDelta) -> Json:
        """The choice of the chunk that ends the answer."""
        ...

    def choice(self, delta: TokenDelta) -> Json:
        """The choice of an answer in one piece, after its last delta."""
        ...


def usage(delta: TokenDelta) -> Json:
    return {
        "prompt_tokens": delta.prompt_tokens,
        "completion_tokens": delta.completion_tokens,
        "total_tokens": delta.prompt_tokens + delta.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": delta.cached_tokens},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every chunk and body of one answer begins with."""

    id: str
    model: str
    created: int = field(default_factory=lambda: int(time.time()))

    def wrap(self, kind: str, choices: list[Json], **more: object) -> Json:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**head, "choices": choices, **more}


class TextAnswer:
    """/v1/completions."""

    kind = "text_completion"
    chunk_kind = "text_completion"

    def __init__(self) -> None:
        self._text: list[str] = []

    def opening(self) -> Json | None:
        return None

    def choices(self, delta: TokenDelta) -> Iterator[Json]:
        self._text.append(delta.text)
        if delta.text:
            yield self._choice(delta.text, None)

    def silence(self) -> Json:
        return self._choice("", None)

    def closing(self, delta: TokenDelta) -> Json:
        return self._choice("", delta.finish_reason)

    def choice(self, delta: TokenDelta) -> Json:
        return self._choice("".join(self._text), delta.finish_reason)

    @staticmethod
    def _choice(text: str, finish_reason: str | None) -> Json:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}


class ChatAnswer:
    """/v1/chat/completions. With `calls`, the text may hold tool calls; `forced` is how the answer began,
    already in the prompt."""

    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def __init__(self, calls: ToolCallStream | None = None, forced: str = "") -> None:
        self._calls = calls
        self._forced = forced
        self._must_call = bool(forced)
        self._content: list[str] = []
        self._tool_calls: list[Json] = []

    def opening(self) -> Json | None:
        return self._chunk({"role": "assistant", "content": None if self._must_call else ""})

    def choices(self, delta: TokenDelta) -> Iterator[Json]:
        for event in self._events(delta):
            yield self._chunk(self._fragment(event))

    def _events(self, delta: TokenDelta) -> list[Event]:
        if self._calls is None:
            return [Content(delta.text)] if delta.text else []
        text, self._forced = self._forced + delta.text, ""
        events = self._calls.feed(text)
        return events + self._calls.finish() if delta.finish_reason else events

    def _fragment(self, event: Event) -> Json:
        if isinstance(event, Content):
            self._content.append(event.text)
            return {"content": event.text}
        if isinstance(event, CallStart):
            call = {"id": f"call_{uuid4().hex[:24]}", "type": "function"}
            function = {"name": event.name, "arguments": ""}
            self._tool_calls.append({**call, "function": dict(function)})
            return {"tool_calls": [{"index": event.index, **call, "function": function}]}
        self._tool_calls[event.index]["function"]["arguments"] += event.text
        return {"tool_calls": [{"index": event.index, "function": {"arguments": event.text}}]}

    def silence(self) -> Json:
        return self._chunk({})

    def closing(self, delta: TokenDelta) -> Json:
        return self._chunk({}, self._finish_reason(delta))

    def choice(self, delta: TokenDelta) -> Json:
        content = "".join(self._content)
        message: Json = {"role": "assistant", "content": content if content or not self._tool_calls else None}
        if self._tool_calls:
            message["tool_calls"] = self._tool_calls
        finish_reason = self._finish_reason(delta)
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}

    def _finish_reason(self, delta: TokenDelta) -> str | None:
        called = bool(self._tool_calls) and delta.finish_reason == "stop"
        return "tool_calls" if called else delta.finish_reason

    @staticmethod
    def _chunk(delta: Json, finish_reason: str | None = None) -> Json:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
