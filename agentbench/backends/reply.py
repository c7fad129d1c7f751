"""Puts a streamed answer together and keeps the time of each chunk that carried something."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from agentbench.backends.chunks import Chunk, Usage
from agentbench.core.case import Message
from agentbench.core.trace import ModelCall
from agentbench.http.event_stream import DONE, EndlessStream, events
from agentbench.http.exchange import message_of
from agentbench.openai_stream import ToolCalls, failure_of, is_one_piece, refusal_of, said_in, text_of, thoughts_of


class ReplyBuilder:
    """Takes the chunks of one answer in order; `model_call` is the answer with its timings.

    Chunks of one read came together: they are one chunk of several tokens. An answer in one piece has no chunk: when
    its first token was there is not known.
    """

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.error = ""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls = ToolCalls()
        self._is_done = False
        self._is_stream = True
        self._chunk_at: list[int] = []
        self._counts: list[int | None] = []
        self._usage: Usage | None = None
        self._ended_at = 0

    @property
    def is_whole(self) -> bool:
        """Whether the server said that the answer is complete."""
        return self._is_done or self.finish_reason is not None

    def read(self, pieces: list[tuple[int, bytes]]) -> None:
        """The events of a whole body, or its one object; stops at the first that is an error."""
        if pieces and is_one_piece(b"".join(piece for _, piece in pieces[:8])):
            self._is_stream, self._is_done = False, True
            return self._read(pieces[-1][0], b"".join(piece for _, piece in pieces))
        try:
            for at, data in events(pieces):
                if data == DONE or self.error:
                    self._is_done = True
                    return
                self._read(at, data)
        except EndlessStream as error:
            self.error = str(error)

    def _read(self, at: int, data: bytes) -> None:
        try:
            self.add(Chunk.model_validate_json(data), at)
        except ValidationError as error:
            self.error = _misfit(error) or _no_chunk(data)
        # What the shape of a choice makes of the rules that read it.
        except (ValueError, TypeError, AttributeError):
            self.error = _no_chunk(data)

    def add(self, chunk: Chunk, at: int) -> None:
        if chunk.error:
            self.error = message_of(chunk.error)
            return
        self._ended_at = at
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices or ():
            if failure := failure_of(choice):
                self.error = message_of(failure)
                return
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            if self._take(said_in(choice)) and self._is_stream:
                self._stamp(at, chunk.usage.completion_tokens if chunk.usage else None)

    def _take(self, delta: Mapping[str, Any]) -> bool:
        """Whether it carries something: an empty role-only delta does not."""
        text, thoughts, refusal = text_of(delta.get("content")), thoughts_of(delta), refusal_of(delta)
        calls = delta.get("tool_calls") or ()
        self._text.append(text)
        self._reasoning.append(thoughts)
        self._refusal.append(refusal)
        self._calls.add(calls)
        return bool(text or thoughts or refusal or calls)

    def _stamp(self, at: int, count: int | None) -> None:
        """`count` is the completion tokens so far."""
        if self._chunk_at and self._chunk_at[-1] == at:
            self._counts[-1] = count
            return
        self._chunk_at.append(at)
        self._counts.append(count)

    def reply(self) -> Message:
        """The message; what a model says in place of an answer is its content too."""
        refusal = "".join(self._refusal)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text) or refusal or None}
        if refusal:
            message["refusal"] = refusal
        if reasoning := "".join(self._reasoning):
            message["reasoning_content"] = reasoning
        if calls := self._calls.whole():
            message["tool_calls"] = calls
        return message

    def model_call(
        self, *, messages: tuple[Message, ...], request: Mapping[str, Any], intended_at: int, sent_at: int
    ) -> ModelCall:
        usage = self._usage or Usage()
        details = usage.prompt_tokens_details
        return ModelCall(
            messages=messages,
            request=request,
            reply=self.reply(),
            finish_reason=self.finish_reason,
            intended_at=intended_at,
            sent_at=sent_at,
            ended_at=self._ended_at,
            chunk_at=tuple(self._chunk_at),
            chunk_tokens=self._chunk_tokens(),
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=details.cached_tokens if details else None,
            completion_tokens=usage.completion_tokens,
        )

    def _chunk_tokens(self) -> tuple[int, ...]:
        """Tokens of each chunk, when every chunk said how many there were so far, none fewer than before."""
        counts = [count for count in self._counts if count is not None]
        if len(counts) != len(self._counts) or counts != sorted(counts):
            return ()
        return tuple(now - before for before, now in zip([0, *counts], counts, strict=False))


def _no_chunk(data: bytes) -> str:
    return f"an event that is no chunk of an answer: {data[:80].decode('utf-8', 'replace')!r}"


def _misfit(error: ValidationError) -> str:
    """What is wrong with the counts of an event, where it is they."""
    found = error.errors(include_url=False)[0]
    if found["loc"][:1] != ("usage",):
        return ""
    return f"{'.'.join(map(str, found['loc']))}: {found['msg'].removeprefix('Value error, ')}"
