"""Events decoded after the fact: what counts as a token, and when it came."""

import json
from typing import Any

from agentbench.loadtest.stream import Answer, decode


def event(choice: dict[str, Any] | None = None, **rest: Any) -> bytes:
    chunk = {"choices": [] if choice is None else [{"index": 0, "finish_reason": None, **choice}], **rest}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def usage(tokens: int, prompt: int = 5, cached: int = 2) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": tokens, "prompt_tokens_details": {"cached_tokens": cached}}


def said(*pieces: bytes) -> Answer:
    return decode(list(enumerate(pieces, 1)))


def test_an_opening_chunk_is_no_token_and_a_closing_one_is_none() -> None:
    answer = said(
        event({"delta": {"role": "assistant", "content": ""}}),
        event({"delta": {"content": "a"}}),
        event({"delta": {"reasoning_content": "b"}}),
        event({"delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}}),
        event({"delta": {}, "finish_reason": "stop"}),
        event(usage=usage(4)),
        b"data: [DONE]\n\n",
    )
    assert answer.chunk_at == [2, 3, 4]
    assert not answer.counted
    assert (answer.finish_reason, answer.done) == ("stop", True)
    assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (5, 2, 4)


def test_counts_in_every_chunk_tell_tokens_without_text_and_several_at_once() -> None:
    answer = said(
        event({"text": ""}, usage=usage(1)),
        event({"text": "abc"}, usage=usage(4)),
        event({"text": "", "finish_reason": "length"}, usage=usage(4)),
    )
    assert (answer.chunk_at, answer.chunk_tokens, answer.counted) == ([1, 2], [1, 3], True)


def test_the_token_that_ends_a_turn_has_no_chunk_but_one_that_the_limit_ends_has() -> None:
    ended = said(event({"text": "a"}, usage=usage(1)), event({"text": "", "finish_reason": "stop"}, usage=usage(2)))
    assert ended.chunk_at == [1]
    limit = said(event({"text": "a"}, usage=usage(1)), event({"text": "", "finish_reason": "length"}, usage=usage(2)))
    assert limit.chunk_at == [1, 2]


def test_a_text_completion_without_counts_has_a_token_in_each_chunk() -> None:
    answer = said(event({"text": "a"}), event({"text": ""}), event({"text": "", "finish_reason": "length"}))
    assert (answer.chunk_at, answer.chunk_tokens, answer.counted) == ([1, 2], [1, 1], False)


def test_counts_that_come_at_the_end_only_are_of_no_chunk() -> None:
    answer = said(
        event({"text": "a"}), event({"text": "b"}), event({"text": "", "finish_reason": "length"}, usage=usage(2))
    )
    assert (answer.chunk_at, answer.chunk_tokens, answer.counted) == ([1, 2], [1, 1], False)
    assert answer.completion_tokens == 2


def test_events_of_one_read_are_one_chunk() -> None:
    answer = said(event({"text": "a"}) + event({"text": "b"}), event({"text": "c"}))
    assert (answer.chunk_at, answer.chunk_tokens) == ([1, 2], [2, 1])


def test_an_error_in_the_stream_and_nonsense_are_told() -> None:
    assert said(event({"text": "a"}), b'data: {"error": {"message": "out of memory"}}\n\n').error == "out of memory"
    assert "no chunk of an answer" in said(b"data: {nonsense\n\n").error


def test_the_digest_is_of_the_text() -> None:
    one = said(event({"text": "ab"}), event({"text": "c"}))
    assert one.digest == said(event({"text": "a"}), event({"text": "bc"})).digest
    assert one.digest != said(event({"text": "abd"})).digest


def test_a_count_that_is_none_is_an_error() -> None:
    for count in (-1, 2**63, "5"):
        counts = {"prompt_tokens": count, "completion_tokens": 1}
        answer = said(event({"delta": {"content": "a"}}), event({"delta": {}, "finish_reason": "stop"}, usage=counts))
        assert "no chunk of an answer" in answer.error
