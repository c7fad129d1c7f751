"""Puts a streamed answer together and keeps the time of each chunk that carried something."""

from collections.abc import Mapping
from typing import Any

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall

from agentbench.case import Message
from agentbench.trace import ModelCall


class ReplyBuilder:
    """Takes the chunks of one answer in order; `model_call` is the answer with its timings."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._chunk_at: list[int] = []
        self._counts: list[int | None] = []
        self._usage: Any = None
        self._ended_at = 0

    def add(self, chunk: ChatCompletionChunk, at: int) -> None:
        self._ended_at = at
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices:
            self.finish_reason = choice.finish_reason or self.finish_reason
            if self._take(choice.delta):
                self._chunk_at.append(at)
                self._counts.append(chunk.usage.completion_tokens if chunk.usage else None)

    def _take(self, delta: ChoiceDelta) -> bool:
        """Whether the delta carried a token; an empty role-only one did not."""
        reasoning = (delta.model_extra or {}).get("reasoning_content") or ""
        if delta.content:
            self._text.append(delta.content)
        if reasoning:
            self._reasoning.append(reasoning)
        for call in delta.tool_calls or ():
            self._take_call(call)
        return bool(delta.content or reasoning or delta.tool_calls)

    def _take_call(self, fragment: ChoiceDeltaToolCall) -> None:
        call = self._calls.setdefault(fragment.index, {"id": "", "name": "", "arguments": ""})
        call["id"] = fragment.id or call["id"]
        if fragment.function is not None:
            call["name"] += fragment.function.name or ""
            call["arguments"] += fragment.function.arguments or ""

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
        usage = self._usage
        details = usage.prompt_tokens_details if usage else None
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
            prompt_tokens=usage.prompt_tokens if usage else None,
            cached_tokens=details.cached_tokens if details else None,
            completion_tokens=usage.completion_tokens if usage else None,
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
