"""Decodes an answer after the measurement: which tokens came when."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentbench.http.event_stream import DONE, EndlessStream, events
from agentbench.http.exchange import message_of
from agentbench.openai_stream import failure_of, is_one_piece, refusal_of, said_in, text_of, thoughts_of, token_count


@dataclass(slots=True)
class Answer:
    """What a stream said.

    `chunk_at` has the time of every read that brought tokens, `chunk_tokens` how many, `counted` whether the
    server said so itself (a usage in every event). Without it a read's number of events with tokens stands there.
    Of an answer that came `in_one_piece` no token's time is known, and there is no chunk. `carried` says that there
    was anything in it.
    """

    chunk_at: list[int] = field(default_factory=list)
    chunk_tokens: list[int] = field(default_factory=list)
    counted: bool = True
    finish_reason: str | None = None
    done: bool = False
    in_one_piece: bool = False
    carried: bool = False
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""
    digest: str = ""


def decode(pieces: list[tuple[int, bytes]]) -> Answer:
    """The answer in a stream of chat or text completion chunks, or in one object; what is neither is an error in it."""
    answer = Answer()
    text = hashlib.sha256()
    if pieces and is_one_piece(b"".join(piece for _, piece in pieces[:8])):
        answer.in_one_piece = answer.done = True
        _read(answer, pieces[-1][0], b"".join(piece for _, piece in pieces), text)
    else:
        _read_events(answer, pieces, text)
    answer.digest = text.hexdigest()[:16]
    return answer


def _read_events(answer: Answer, pieces: list[tuple[int, bytes]], text: Any) -> None:
    try:
        for at, data in events(pieces):
            answer.done = answer.done or data == DONE
            if data != DONE:
                _read(answer, at, data, text)
    except EndlessStream as error:
        answer.error = answer.error or str(error)


def _read(answer: Answer, at: int, data: bytes, text: Any) -> None:
    try:
        _take(answer, at, json.loads(data), text)
    # What the shape of an event makes of the rules that read it.
    except (ValueError, TypeError, AttributeError, RecursionError):
        answer.error = answer.error or f"an event that is no chunk of an answer: {data[:80]!r}"


def _take(answer: Answer, at: int, chunk: Mapping[str, Any], text: Any) -> None:
    if chunk.get("error"):
        answer.error = answer.error or message_of(chunk)
        return
    told = bool(chunk.get("usage"))
    rise = _usage(answer, chunk.get("usage"))
    trusted = told and answer.counted
    for choice in chunk.get("choices") or ():
        if failure := failure_of(choice):
            answer.error = answer.error or message_of(failure)
            return
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        said = _said(choice)
        text.update(said.encode("utf-8", "surrogatepass"))
        answer.carried = answer.carried or bool(said)
        if answer.in_one_piece:
            answer.counted = False
        elif said or _silent_token(choice, rise if trusted else 0):
            answer.counted = answer.counted and told
            _token(answer, at, rise if trusted else 1)
            rise = 0


def _usage(answer: Answer, usage: Mapping[str, Any] | None) -> int:
    """Takes the counts; how many tokens more there are than before."""
    if not usage:
        return 0
    before = answer.completion_tokens or 0
    answer.prompt_tokens = token_count(usage.get("prompt_tokens", answer.prompt_tokens))
    answer.completion_tokens = token_count(usage.get("completion_tokens", answer.completion_tokens))
    details = usage.get("prompt_tokens_details") or {}
    answer.cached_tokens = token_count(details.get("cached_tokens", answer.cached_tokens))
    return (answer.completion_tokens or 0) - before


def _said(choice: Mapping[str, Any]) -> str:
    """Text, reasoning, a refusal and fragments of tool calls of a chunk, as one text."""
    delta = said_in(choice)
    parts = [choice.get("text"), text_of(delta.get("content")), thoughts_of(delta), refusal_of(delta)]
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
