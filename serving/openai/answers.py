"""Answers in OpenAI's shape: choices of bodies and chunks, made of the engine's deltas."""

from collections.abc import Iterator
from typing import Any, Protocol
from uuid import uuid4

from serving.openai.logprobs import LogprobReport
from serving.openai.tool_calls import CallStart, Content, Event, ToolCallStream
from serving.request import FinishReason, TokenDelta

Json = dict[str, Any]


class Answer(Protocol):
    """Turns the deltas of one answer, in order, into what the client gets. A request has `n` of them."""

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

    def choice(self) -> Json:
        """The choice of an answer in one piece, after its last delta."""
        ...


class TextAnswer:
    """/v1/completions."""

    kind = "text_completion"
    chunk_kind = "text_completion"

    def __init__(self, index: int = 0, logprobs: LogprobReport | None = None) -> None:
        self._index = index
        self._logprobs = logprobs
        self._text: list[str] = []
        self._finish_reason: FinishReason | None = None

    def opening(self) -> Json | None:
        return None

    def choices(self, delta: TokenDelta) -> Iterator[Json]:
        self._text.append(delta.text)
        self._finish_reason = delta.finish_reason
        if self._logprobs is not None:
            self._logprobs.feed(delta.logprobs)
        if delta.text:
            yield self._chunk(delta.text)

    def silence(self) -> Json:
        return self._chunk("")

    def closing(self, delta: TokenDelta) -> Json:
        return self._chunk("", delta.finish_reason)

    def choice(self) -> Json:
        logprobs = None if self._logprobs is None else self._logprobs.whole()
        return self._choice("".join(self._text), logprobs, self._finish_reason)

    def _chunk(self, text: str, finish_reason: FinishReason | None = None) -> Json:
        logprobs = None if self._logprobs is None else self._logprobs.take()
        return self._choice(text, logprobs, finish_reason)

    def _choice(self, text: str, logprobs: Json | None, finish_reason: FinishReason | None) -> Json:
        return {"index": self._index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


class ChatAnswer:
    """/v1/chat/completions. With `calls`, the text may hold tool calls; `forced` is how the answer began,
    already in the prompt."""

    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def __init__(
        self,
        index: int = 0,
        logprobs: LogprobReport | None = None,
        calls: ToolCallStream | None = None,
        forced: str = "",
    ) -> None:
        self._index = index
        self._logprobs = logprobs
        self._calls = calls
        self._forced = forced
        self._must_call = bool(forced)
        self._content: list[str] = []
        self._tool_calls: list[Json] = []
        self._finish_reason: FinishReason | None = None

    def opening(self) -> Json | None:
        delta = {"role": "assistant", "content": None if self._must_call else ""}
        return {"index": self._index, "delta": delta, "logprobs": None, "finish_reason": None}

    def choices(self, delta: TokenDelta) -> Iterator[Json]:
        self._finish_reason = delta.finish_reason
        if self._logprobs is not None:
            self._logprobs.feed(delta.logprobs)
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
        return self._chunk({}, self._ending())

    def choice(self) -> Json:
        content = "".join(self._content)
        message: Json = {"role": "assistant", "content": content if content or not self._tool_calls else None}
        if self._tool_calls:
            message["tool_calls"] = self._tool_calls
        logprobs = None if self._logprobs is None else self._logprobs.whole()
        return {"index": self._index, "message": message, "logprobs": logprobs, "finish_reason": self._ending()}

    def _ending(self) -> str | None:
        called = bool(self._tool_calls) and self._finish_reason == "stop"
        return "tool_calls" if called else self._finish_reason

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        logprobs = None if self._logprobs is None else self._logprobs.take()
        return {"index": self._index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
