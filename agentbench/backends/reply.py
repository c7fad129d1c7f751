"""Puts a streamed answer together and keeps the time of each chunk that carried something."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from agentbench.backends.chunks import Chunk, Delta, ToolCallFragment, Usage
from agentbench.case import Message
from agentbench.trace import ModelCall
from agentbench.transport.event_stream import DONE, events
from agentbench.transport.refusal import message_of


class ReplyBuilder:
    """Takes the chunks of one answer in order; `model_call` is the answer with its timings.

    Chunks of one read came together: they are one chunk of several tokens.
    """

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.error = ""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._chunk_at: list[int] = []
        self._counts: list[int | None] = []
        self._usage: Usage | None = None
        self._ended_at = 0

    def read(self, pieces: list[tuple[int, bytes]]) -> None:
        """The events of a whole body; stops at the first that is an error."""
        for at, data in events(pieces):
            if data == DONE or self.error:
                return
            try:
                self.add(Chunk.model_validate_json(data), at)
            except ValidationError:
                self.error = f"an event that is no chunk of an answer: {data[:80].decode('utf-8', 'replace')!r}"

    def add(self, chunk: Chunk, at: int) -> None:
        if chunk.error:
            self.error = message_of(chunk.error)
            return
        self._ended_at = at
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices or ():
            self.finish_reason = choice.finish_reason or self.finish_reason
            if choice.delta is not None and choice.delta.carries_token:
                self._take(choice.delta)
                self._stamp(at, chunk.usage.completion_tokens if chunk.usage else None)

    def _take(self, delta: Delta) -> None:
        if delta.content:
            self._text.append(delta.content)
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        for call in delta.tool_calls or ():
            self._take_call(call)

    def _take_call(self, fragment: ToolCallFragment) -> None:
        call = self._calls.setdefault(fragment.index, {"id": "", "name": "", "arguments": ""})
        call["id"] = fragment.id or call["id"]
        if fragment.function is not None:
            call["name"] += fragment.function.name or ""
            call["arguments"] += fragment.function.arguments or ""

    def _stamp(self, at: int, count: int | None) -> None:
        """`count` is the completion tokens so far."""
        if self._chunk_at and self._chunk_at[-1] == at:
            self._counts[-1] = count
            return
        self._chunk_at.append(at)
        self._counts.append(count)

    def reply(self) -> Message:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text) or None}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [_tool_call(self._calls[index]) for index in sorted(self._calls)]
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
        """Tokens of each chunk, when every chunk said how many there were so far."""
        counts = [count for count in self._counts if count is not None]
        if len(counts) != len(self._counts):
            return ()
        return tuple(now - before for before, now in zip([0, *counts], counts, strict=False))


def _tool_call(call: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": call["name"], "arguments": call["arguments"]},
    }
