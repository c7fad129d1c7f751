"""Answers in OpenAI's shape: choices and log probabilities, made from the engine's deltas."""

import codecs
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol
from uuid import uuid4

from serving.core import FinishReason, TokenDelta, TokenLogprob
from serving.openai.tool_calls import CallStart, Content, Event, ToolCallStream

Json = dict[str, Any]
LEAST = -9999.0  # OpenAI's own value for a token that can't come: JSON has no infinity


class Vocabulary(Protocol):
    """What tokens are made of: the tokenizer."""

    @property
    def eos_ids(self) -> Collection[int]: ...
    def token_bytes(self, token_id: int) -> bytes: ...


class LogprobReport(Protocol):
    """Of one answer. One entry a token, the end of sequence and the tokens of a stop string included."""

    def feed(self, logprobs: Sequence[TokenLogprob]) -> None: ...

    def take(self) -> Json | None:
        """What has come since the last time; None when nothing has."""
        ...

    def complete(self) -> Json:
        """All that was taken, and the rest."""
        ...


class ChatLogprobs:
    """`{content: [{token, logprob, bytes, top_logprobs}]}`"""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._entries: list[Json] = []
        self._taken = 0

    def feed(self, logprobs: Sequence[TokenLogprob]) -> None:
        self._entries += map(self._entry, logprobs)

    def take(self) -> Json | None:
        fresh, self._taken = self._entries[self._taken :], len(self._entries)
        return {"content": fresh, "refusal": None} if fresh else None

    def complete(self) -> Json:
        return {"content": self._entries, "refusal": None}

    def _entry(self, entry: TokenLogprob) -> Json:
        top = [self._token(token, logprob) for token, logprob in entry.top]
        return {**self._token(entry.token_id, entry.logprob), "top_logprobs": top}

    def _token(self, token_id: int, logprob: float) -> Json:
        data = self._vocabulary.token_bytes(token_id)
        return {"token": data.decode(errors="replace"), "logprob": max(logprob, LEAST), "bytes": list(data)}


class CompletionLogprobs:
    """`{tokens, token_logprobs, top_logprobs, text_offset}`, lists of one entry a token.

    `top_logprobs` always has the token itself. A token that is not whole characters is written as its bytes.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._entries: list[TokenLogprob] = []
        self._offsets: list[int] = []
        self._taken = 0
        self._characters = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, logprobs: Sequence[TokenLogprob]) -> None:
        for entry in logprobs:
            self._entries.append(entry)
            self._offsets.append(self._characters)
            if entry.token_id not in self._vocabulary.eos_ids:
                self._characters += len(self._decoder.decode(self._vocabulary.token_bytes(entry.token_id)))

    def take(self) -> Json | None:
        start, self._taken = self._taken, len(self._entries)
        return self._since(start) if start < self._taken else None

    def complete(self) -> Json:
        return self._since(0)

    def _since(self, start: int) -> Json:
        entries = self._entries[start:]
        return {
            "tokens": [self._text(entry.token_id) for entry in entries],
            "token_logprobs": [max(entry.logprob, LEAST) for entry in entries],
            "top_logprobs": [self._alternatives(entry) for entry in entries],
            "text_offset": self._offsets[start:],
        }

    def _alternatives(self, entry: TokenLogprob) -> dict[str, float]:
        pairs = (*entry.top, (entry.token_id, entry.logprob))
        return {self._text(token): max(logprob, LEAST) for token, logprob in pairs}

    def _text(self, token_id: int) -> str:
        data = self._vocabulary.token_bytes(token_id)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


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
        logprobs = None if self._logprobs is None else self._logprobs.complete()
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
        logprobs = None if self._logprobs is None else self._logprobs.complete()
        return {"index": self._index, "message": message, "logprobs": logprobs, "finish_reason": self._ending()}

    def _ending(self) -> str | None:
        called = bool(self._tool_calls) and self._finish_reason == "stop"
        return "tool_calls" if called else self._finish_reason

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        logprobs = None if self._logprobs is None else self._logprobs.take()
        return {"index": self._index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
