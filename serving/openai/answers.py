"""Turns the engine's deltas into answers in OpenAI's shape: choices, tool calls and log probabilities."""

import codecs
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol
from uuid import uuid4

from serving.core import FinishReason, TokenDelta, TokenLogprob
from serving.openai.reasoning import Reasoning, ReasoningStream
from serving.openai.tools.stream import CallStart, Content, Event, ToolCallStream

Json = dict[str, Any]
MIN_LOGPROB = -9999.0  # OpenAI's value for an impossible token, since JSON has no infinity


class Vocabulary(Protocol):
    """The part of the tokenizer that log probabilities need."""

    @property
    def eos_ids(self) -> Collection[int]: ...
    def token_bytes(self, token_id: int) -> bytes: ...


class LogprobReport(Protocol):
    """Collects the log probabilities of one answer.

    It has an entry for each token, also for the end of sequence and the tokens of a stop string.
    """

    def feed(self, logprobs: Sequence[TokenLogprob]) -> None: ...

    def take(self) -> Json | None:
        """The entries since the previous call; None if there are none."""
        ...

    def complete(self) -> Json:
        """All entries."""
        ...


class ChatLogprobs:
    """The shape of /v1/chat/completions: `{content: [{token, logprob, bytes, top_logprobs}]}`."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._entries: list[Json] = []
        self._num_taken = 0

    def feed(self, logprobs: Sequence[TokenLogprob]) -> None:
        self._entries += map(self._entry, logprobs)

    def take(self) -> Json | None:
        new, self._num_taken = self._entries[self._num_taken :], len(self._entries)
        return {"content": new, "refusal": None} if new else None

    def complete(self) -> Json:
        return {"content": self._entries, "refusal": None}

    def _entry(self, entry: TokenLogprob) -> Json:
        top = [self._token(token, logprob) for token, logprob in entry.top]
        return {**self._token(entry.token_id, entry.logprob), "top_logprobs": top}

    def _token(self, token_id: int, logprob: float) -> Json:
        data = self._vocabulary.token_bytes(token_id)
        return {"token": data.decode(errors="replace"), "logprob": max(logprob, MIN_LOGPROB), "bytes": list(data)}


class CompletionLogprobs:
    """The shape of /v1/completions: `{tokens, token_logprobs, top_logprobs, text_offset}`.

    Each is a list with an entry for each token. `top_logprobs` always contains the token itself. A token whose bytes
    are not valid UTF-8 is written as `bytes:\\xNN…`.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._entries: list[TokenLogprob] = []
        self._offsets: list[int] = []
        self._num_taken = 0
        self._num_characters = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, logprobs: Sequence[TokenLogprob]) -> None:
        for entry in logprobs:
            self._entries.append(entry)
            self._offsets.append(self._num_characters)
            if entry.token_id not in self._vocabulary.eos_ids:
                self._num_characters += len(self._decoder.decode(self._vocabulary.token_bytes(entry.token_id)))

    def take(self) -> Json | None:
        start, self._num_taken = self._num_taken, len(self._entries)
        return self._entries_from(start) if start < self._num_taken else None

    def complete(self) -> Json:
        return self._entries_from(0)

    def _entries_from(self, start: int) -> Json:
        entries = self._entries[start:]
        return {
            "tokens": [self._text(entry.token_id) for entry in entries],
            "token_logprobs": [max(entry.logprob, MIN_LOGPROB) for entry in entries],
            "top_logprobs": [self._alternatives(entry) for entry in entries],
            "text_offset": self._offsets[start:],
        }

    def _alternatives(self, entry: TokenLogprob) -> dict[str, float]:
        pairs = (*entry.top, (entry.token_id, entry.logprob))
        return {self._text(token): max(logprob, MIN_LOGPROB) for token, logprob in pairs}

    def _text(self, token_id: int) -> str:
        data = self._vocabulary.token_bytes(token_id)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


class Answer(Protocol):
    """Turns the deltas of one answer, in order, into OpenAI's choices. A request has `n` answers.

    Every method returns a JSON object of the response's `choices`. `kind` and `chunk_kind` are the response's `object`
    without and with streaming.
    """

    kind: str
    chunk_kind: str

    def opening_choice(self) -> Json | None:
        """The first chunk of a stream, before any text; None if the endpoint has none."""
        ...

    def delta_choices(self, delta: TokenDelta) -> Iterator[Json]:
        """The chunks of a delta. None of them has the finish reason."""
        ...

    def empty_choice(self) -> Json:
        """A chunk without text. With continuous usage, it reports a token whose text is held back."""
        ...

    def closing_choice(self, delta: TokenDelta) -> Json:
        """The last chunk, with the finish reason."""
        ...

    def complete_choice(self) -> Json:
        """The whole answer, after its last delta."""
        ...


class TextAnswer:
    """An answer of /v1/completions."""

    kind = "text_completion"
    chunk_kind = "text_completion"

    def __init__(self, index: int = 0, logprobs: LogprobReport | None = None) -> None:
        self._index = index
        self._logprobs = logprobs
        self._text: list[str] = []
        self._finish_reason: FinishReason | None = None

    def opening_choice(self) -> Json | None:
        return None

    def delta_choices(self, delta: TokenDelta) -> Iterator[Json]:
        self._text.append(delta.text)
        self._finish_reason = delta.finish_reason
        if self._logprobs is not None:
            self._logprobs.feed(delta.logprobs)
        if delta.text:
            yield self._chunk(delta.text)

    def empty_choice(self) -> Json:
        return self._chunk("")

    def closing_choice(self, delta: TokenDelta) -> Json:
        return self._chunk("", delta.finish_reason)

    def complete_choice(self) -> Json:
        logprobs = None if self._logprobs is None else self._logprobs.complete()
        return self._choice("".join(self._text), logprobs, self._finish_reason)

    def _chunk(self, text: str, finish_reason: FinishReason | None = None) -> Json:
        logprobs = None if self._logprobs is None else self._logprobs.take()
        return self._choice(text, logprobs, finish_reason)

    def _choice(self, text: str, logprobs: Json | None, finish_reason: FinishReason | None) -> Json:
        return {"index": self._index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


class ChatAnswer:
    """An answer of /v1/chat/completions.

    `calls` reads tool calls from the text; without it all text is content. `forced` is the beginning of the answer
    that is already in the prompt. `reasoning` reads the reasoning that comes before the answer.
    """

    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def __init__(
        self,
        index: int = 0,
        logprobs: LogprobReport | None = None,
        calls: ToolCallStream | None = None,
        forced: str = "",
        reasoning: ReasoningStream | None = None,
    ) -> None:
        self._index = index
        self._logprobs = logprobs
        self._calls = calls
        self._reasoning = reasoning
        self._thoughts: list[str] = []
        self._forced = forced
        self._must_call = bool(forced)
        self._content: list[str] = []
        self._tool_calls: list[Json] = []
        self._finish_reason: FinishReason | None = None

    def opening_choice(self) -> Json | None:
        delta = {"role": "assistant", "content": None if self._must_call else ""}
        return {"index": self._index, "delta": delta, "logprobs": None, "finish_reason": None}

    def delta_choices(self, delta: TokenDelta) -> Iterator[Json]:
        self._finish_reason = delta.finish_reason
        if self._logprobs is not None:
            self._logprobs.feed(delta.logprobs)
        for event in self._events(delta):
            yield self._chunk(self._record(event))

    def _events(self, delta: TokenDelta) -> list[Event | Reasoning]:
        thought, text = "", delta.text
        if self._reasoning is not None:
            thought, text = self._reasoning.feed(text)
            if delta.finish_reason:
                last_thought, last_text = self._reasoning.finish()
                thought, text = thought + last_thought, text + last_text
        thoughts = [Reasoning(thought)] if thought else []
        return [*thoughts, *self._answer_events(text, is_last=bool(delta.finish_reason))]

    def _answer_events(self, text: str, *, is_last: bool) -> list[Event]:
        if self._calls is None:
            return [Content(text)] if text else []
        text, self._forced = self._forced + text, ""
        events = self._calls.feed(text)
        return events + self._calls.finish() if is_last else events

    def _record(self, event: Event | Reasoning) -> Json:
        """Add an event to the complete answer. Returns the chunk's `delta` for it."""
        if isinstance(event, Reasoning):
            self._thoughts.append(event.text)
            return {"reasoning_content": event.text}
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

    def empty_choice(self) -> Json:
        return self._chunk({})

    def closing_choice(self, delta: TokenDelta) -> Json:
        return self._chunk({}, self._openai_finish_reason())

    def complete_choice(self) -> Json:
        content = "".join(self._content)
        message: Json = {"role": "assistant", "content": content if content or not self._tool_calls else None}
        if self._thoughts:
            message["reasoning_content"] = "".join(self._thoughts)
        if self._tool_calls:
            message["tool_calls"] = self._tool_calls
        logprobs = None if self._logprobs is None else self._logprobs.complete()
        finish_reason = self._openai_finish_reason()
        return {"index": self._index, "message": message, "logprobs": logprobs, "finish_reason": finish_reason}

    def _openai_finish_reason(self) -> str | None:
        """`tool_calls` for an answer with calls that ended by itself, else the engine's finish reason."""
        ended_with_calls = bool(self._tool_calls) and self._finish_reason == "stop"
        return "tool_calls" if ended_with_calls else self._finish_reason

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        logprobs = None if self._logprobs is None else self._logprobs.take()
        return {"index": self._index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
