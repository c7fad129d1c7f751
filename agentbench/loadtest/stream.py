"""Decodes an answer after the measurement: which tokens came when."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentbench.transport.event_stream import DONE, events
from agentbench.transport.refusal import message_of


@dataclass(slots=True)
class Answer:
    """What a stream said.

    `chunk_at` has the time of every read that brought tokens, `chunk_tokens` how many, `counted` whether the
    server said so itself (a usage in every event). Without it a read's number of events with tokens stands there.
    """

    chunk_at: list[int] = field(default_factory=list)
    chunk_tokens: list[int] = field(default_factory=list)
    counted: bool = True
    finish_reason: str | None = None
    done: bool = False
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""
    digest: str = ""


def decode(pieces: list[tuple[int, bytes]]) -> Answer:
    """The answer in a stream of chat or text completion chunks; what is no JSON is an error in it."""
    answer = Answer()
    text = hashlib.sha256()
    for at, data in events(pieces):
        if data == DONE:
            answer.done = True
            continue
        try:
            chunk = json.loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            answer.error = answer.error or f"an event that is no JSON object: {data[:80]!r}"
            continue
        _take(answer, at, chunk, text)
    answer.digest = text.hexdigest()[:16]
    return answer


def _take(answer: Answer, at: int, chunk: Mapping[str, Any], text: Any) -> None:
    if chunk.get("error"):
        answer.error = answer.error or message_of(chunk)
        return
    told = bool(chunk.get("usage"))
    rise = _usage(answer, chunk.get("usage"))
    trusted = told and answer.counted
    for choice in chunk.get("choices") or ():
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        said = _said(choice)
        text.update(said.encode("utf-8", "surrogatepass"))
        if said or _silent_token(choice, rise if trusted else 0):
            answer.counted = answer.counted and told
            _token(answer, at, rise if trusted else 1)
            rise = 0


def _usage(answer: Answer, usage: Mapping[str, Any] | None) -> int:
    """Takes the counts; how many tokens more there are than before."""
    if not usage:
        return 0
    before = answer.completion_tokens or 0
    answer.prompt_tokens = usage.get("prompt_tokens", answer.prompt_tokens)
    answer.completion_tokens = usage.get("completion_tokens", answer.completion_tokens)
    details = usage.get("prompt_tokens_details") or {}
    answer.cached_tokens = details.get("cached_tokens", answer.cached_tokens)
    return (answer.completion_tokens or 0) - before


def _said(choice: Mapping[str, Any]) -> str:
    """Text, reasoning and fragments of tool calls of a chunk, as one text."""
    delta = choice.get("delta") or choice.get("message") or {}
    parts = [choice.get("text"), delta.get("content"), delta.get("reasoning_content"), delta.get("reasoning")]
    calls = delta.get("tool_calls") or ()
    parts += [json.dumps(call.get("function") or {}, sort_keys=True) for call in calls]
    return "".join(part for part in parts if part)


def _silent_token(choice: Mapping[str, Any], counted: int) -> bool:
    """Whether a chunk without text stands for a token (a special one, a part of a character).

    It does when the count of tokens rose; and in a text completion, which has no opening chunk, when its text is
    empty. A closing chunk does not (the token that ends a turn has no chunk), unless the limit ended the answer.
    """
    reason = choice.get("finish_reason")
    if counted > 0:
        return reason in (None, "length")
    return choice.get("text") == "" and not reason


def _token(answer: Answer, at: int, count: int) -> None:
    """Chunks of one read came together: they are one chunk of several tokens."""
    if answer.chunk_at and answer.chunk_at[-1] == at:
        answer.chunk_tokens[-1] += count
        return
    answer.chunk_at.append(at)
    answer.chunk_tokens.append(count)
