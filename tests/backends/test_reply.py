"""An answer put together from its chunks."""

import json
from typing import Any

import pytest

from agentbench.backends.reply import ReplyBuilder
from agentbench.core.trace import ModelCall


def chunk(delta: dict[str, Any] | None = None, finish_reason: str | None = None, **rest: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}]
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **rest}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def usage(tokens: int, cached: int | None = None) -> dict[str, Any]:
    counts = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}
    return counts if cached is None else {**counts, "prompt_tokens_details": {"cached_tokens": cached}}


def read(*reads: bytes) -> ReplyBuilder:
    """The answer in these reads, which came at 1, 2, …"""
    builder = ReplyBuilder()
    builder.read(list(enumerate(reads, 1)))
    return builder


def call_of(*reads: bytes) -> ModelCall:
    return read(*reads).model_call(messages=(), request={}, intended_at=0, sent_at=0)


DONE = b"data: [DONE]\n\n"


def test_a_chunk_is_one_that_carries_something() -> None:
    call = call_of(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "let me see"}),
        chunk({"content": "hel"}),
        chunk({"content": "lo"}),
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}),
        chunk({}, "stop"),
        chunk(usage=usage(4, cached=2)),
        DONE,
    )
    assert call.chunk_at == (2, 3, 4, 5)
    assert call.chunk_tokens == ()
    assert call.ended_at == 7
    assert (call.prompt_tokens, call.cached_tokens, call.completion_tokens) == (3, 2, 4)
    assert (call.text, call.finish_reason) == ("hello", "stop")


def test_chunks_of_one_read_are_one() -> None:
    first = chunk({"content": "a"}, usage=usage(1)) + chunk({"content": "b"}, usage=usage(2))
    call = call_of(first, chunk({"content": "c"}, usage=usage(3)), chunk({}, "stop", usage=usage(3)))
    assert (call.chunk_at, call.chunk_tokens, call.text) == ((1, 2), (2, 1), "abc")


def test_a_count_tells_of_several_tokens_and_of_those_without_text() -> None:
    call = call_of(
        chunk({"content": ""}, usage=usage(1)),
        chunk({"content": "ab"}, usage=usage(4)),
        chunk({"content": "c"}, "stop", usage=usage(5)),
    )
    assert (call.chunk_at, call.chunk_tokens) == ((2, 3), (4, 1))


def test_fragments_of_calls_are_put_together_by_their_index() -> None:
    def fragment(index: int, name: str | None, arguments: str, call_id: str | None = None) -> bytes:
        function = {"name": name, "arguments": arguments}
        return chunk({"tool_calls": [{"index": index, "id": call_id, "function": function}]})

    call = call_of(
        fragment(1, "g", "", "call_1"), fragment(0, "f", "{", "call_0"), fragment(1, None, "{}"), fragment(0, None, "}")
    )
    made = [(each["id"], each["function"]["name"], each["function"]["arguments"]) for each in call.reply["tool_calls"]]
    assert made == [("call_0", "f", "{}"), ("call_1", "g", "{}")]
    assert call.reply["content"] is None


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_under_either_name(name: str) -> None:
    assert call_of(chunk({name: "hmm"}), chunk({}, "stop")).reply["reasoning_content"] == "hmm"


def test_an_error_in_the_stream_is_its_message() -> None:
    answer = read(chunk({"content": "a"}), b'data: {"error": {"message": "out of memory", "code": 500}}\n\n', DONE)
    assert (answer.error, answer.finish_reason) == ("out of memory", None)


def test_an_event_that_is_no_chunk_is_told() -> None:
    assert "no chunk of an answer: '{nonsense'" in read(b"data: {nonsense\n\n").error
    assert "no chunk of an answer" in read(b'data: {"choices": 3}\n\n').error


def test_what_a_server_leaves_null_or_adds_does_no_harm() -> None:
    call = call_of(
        chunk({"content": "a", "tool_calls": None, "refusal": None}, service_tier="x", error=None),
        chunk(None, usage=None),
        b'data: {"choices": null}\n\n',
        b'data: {"choices": [{"delta": null, "finish_reason": "stop"}]}\n\n',
    )
    assert (call.text, call.finish_reason, call.completion_tokens) == ("a", "stop", None)


@pytest.mark.parametrize("count", [-1, 2**63, 2**100, 1.5, "3", True])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_count_that_is_none_is_the_servers_failure(name: str, count: Any) -> None:
    reply = read(chunk({"content": "hi"}), chunk({}, "stop", usage={**usage(1), name: count}), DONE)
    assert reply.error == f"usage.{name}: {count!r} is no number of tokens"


def test_a_count_of_cached_tokens_that_is_none_is_the_servers_failure() -> None:
    reply = read(chunk({"content": "hi"}), chunk({}, "stop", usage=usage(1, cached=-5)), DONE)
    assert reply.error == "usage.prompt_tokens_details.cached_tokens: -5 is no number of tokens"


def test_counts_that_fall_are_no_counts_of_chunks() -> None:
    call = call_of(chunk({"content": "a"}, usage=usage(5)), chunk({"content": "b"}, "stop", usage=usage(2)), DONE)
    assert (call.chunk_tokens, call.completion_tokens) == ((), 2)
