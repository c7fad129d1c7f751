"""Answers as servers differ in giving them: a run and a load test read the same in each."""

import json
from typing import Any

import pytest

from agentbench.backends.reply import ReplyBuilder
from agentbench.core.trace import ModelCall
from agentbench.http import event_stream
from agentbench.loadtest.stream import Answer, decode
from agentbench.openai_stream import ToolCalls

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def event(delta: Any = None, finish_reason: str | None = None, **choice: Any) -> bytes:
    found = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason, **choice}
    return b"data: " + json.dumps({"id": "x", "choices": [found]}).encode() + b"\n\n"


def whole(message: Any, finish_reason: str | None = "stop", **body: Any) -> bytes:
    choices = [{"index": 0, "message": message, "finish_reason": finish_reason}]
    return json.dumps({"choices": choices, "usage": USAGE, **body}, indent=1).encode()


def read(*reads: bytes) -> tuple[ReplyBuilder, Answer]:
    """These reads, which came at 1, 2, …, as a run and as a load test take them."""
    pieces = list(enumerate(reads, 1))
    builder = ReplyBuilder()
    builder.read(pieces)
    answer = decode(pieces)
    assert bool(builder.error) == bool(answer.error)
    if not builder.error:
        assert builder.is_whole == bool(answer.finish_reason or answer.done)
        assert call_of(builder).chunk_at == tuple(answer.chunk_at)
        assert call_of(builder).finish_reason == answer.finish_reason
        assert call_of(builder).completion_tokens == answer.completion_tokens
    return builder, answer


def call_of(builder: ReplyBuilder) -> ModelCall:
    return builder.model_call(messages=(), request={}, intended_at=0, sent_at=0)


def made(*deltas: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """The calls that these deltas make: id, name, arguments."""
    calls = ToolCalls()
    for fragments in deltas:
        calls.add(fragments)
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls.whole()]


def fragment(name: str | None = None, arguments: Any = None, **rest: Any) -> dict[str, Any]:
    return {**rest, "function": {"name": name, "arguments": arguments}}


TWO = [("a", "look", '{"n": 1}'), ("b", "look", '{"n": 2}')]


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [[fragment("look", '{"n": 1}', index=0, id="a")], [fragment("look", '{"n": 2}', index=1, id="b")]],
            id="as OpenAI",
        ),
        pytest.param([[fragment("look", '{"n": 1}', id="a")], [fragment("look", '{"n": 2}', id="b")]], id="no index"),
        pytest.param(
            [[fragment("look", '{"n": 1}', index=0, id="a")], [fragment("look", '{"n": 2}', index=0, id="b")]],
            id="index 0 for all",
        ),
        pytest.param([[fragment("look", '{"n": 1}', id="a"), fragment("look", '{"n": 2}', id="b")]], id="one delta"),
        pytest.param(
            [
                [fragment("look", "", id="a")],
                [fragment(None, '{"n":')],
                [fragment(None, " 1}")],
                [fragment("look", "", id="b")],
                [fragment(None, '{"n":')],
                [fragment(None, " 2}")],
            ],
            id="fragments without index",
        ),
        pytest.param(
            [
                [fragment("look", "", index=0, id="a")],
                [fragment("look", '{"n": 1}', index=0, id="a")],
                [fragment("look", '{"n": 2}', index=0, id="b")],
            ],
            id="name and id in each",
        ),
        pytest.param(
            [[fragment("look", {"n": 1}, index=0, id="a"), fragment("look", {"n": 2}, index=1, id="b")]], id="objects"
        ),
    ],
)
def test_a_new_id_begins_a_new_call_and_a_name_is_there_once(deltas: list[list[dict[str, Any]]]) -> None:
    assert made(*deltas) == TWO


def test_calls_without_ids_are_told_apart_by_name_or_by_arguments_that_are_whole() -> None:
    for second in ("look", "see"):
        found = made([fragment("look", '{"n": 1}', index=0)], [fragment(second, '{"n": 2}', index=0)])
        assert found == [("", "look", '{"n": 1}'), ("", second, '{"n": 2}')]


def test_a_name_may_come_in_parts_and_an_id_may_change_without_one() -> None:
    assert made([fragment("get_", "", index=0, id="a")], [fragment("weather", "{}", index=0)]) == [
        ("a", "get_weather", "{}")
    ]
    assert made([fragment("f", '{"a"', index=0, id="a")], [fragment(None, ": 1}", index=0, id="z")]) == [
        ("a", "f", '{"a": 1}')
    ]


def test_fragments_are_given_on_as_openai_would_have_sent_them() -> None:
    calls = ToolCalls()
    first = fragment("look", "", index=0, id="a", type="function")
    assert calls.add([first]) == [{**first, "function": {"name": "look", "arguments": ""}}]
    assert calls.add([fragment("look", {"n": 1}, index=0, id="a")]) == [
        {"id": "a", "index": 0, "function": {"arguments": '{"n": 1}'}}
    ]
    [again] = calls.add([fragment("look", "{}", index=0, id="b")])
    assert again["index"] == 1


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": None, "reasoning": "hmm"},
        {"reasoning_content": "hmm", "reasoning": None},
        {"reasoning_content": "", "reasoning": "hmm"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}]},
    ],
)
def test_reasoning_is_found_under_whichever_name_has_it(delta: dict[str, Any]) -> None:
    builder, _ = read(event(delta), event({"content": "yes"}), event({}, "stop"))
    call = call_of(builder)
    assert (call.reply["reasoning_content"], call.text) == ("hmm", "yes")
    assert call.chunk_at == (1, 2), "its first chunk is the first one that is seen"


def test_content_in_parts_is_text() -> None:
    parts = [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]
    assert call_of(read(event({"content": parts}), event({}, "stop"))[0]).text == "hello"
    assert "no chunk of an answer" in read(event({"content": 7}))[0].error


def test_arguments_may_be_an_object() -> None:
    call = call_of(read(event({"tool_calls": [fragment("f", {"n": 1}, id="a")]}), event({}, "tool_calls"))[0])
    assert call.reply["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"n": 1}'}


def test_done_ends_an_answer_without_a_finish_reason() -> None:
    builder, _ = read(event({"content": "hello"}), DONE)
    assert (builder.is_whole, call_of(builder).text, call_of(builder).finish_reason) == (True, "hello", None)
    assert not read(event({"content": "hello"}))[0].is_whole


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (event({}, "error"), "finish_reason 'error'"),
        (event({}, "error", error={"message": "the upstream died", "code": 502}), "the upstream died"),
    ],
)
def test_an_answer_that_ends_in_an_error_is_none(last: bytes, said: str) -> None:
    builder, answer = read(event({"content": "hel"}), last, DONE)
    assert said in builder.error
    assert said in answer.error


def test_a_refusal_is_what_was_answered() -> None:
    builder, _ = read(event({"refusal": "I can't "}), event({"refusal": "do that."}), event({}, "stop"))
    call = call_of(builder)
    assert call.text == call.reply["refusal"] == "I can't do that."
    assert call.chunk_at == (1, 2)


def test_an_answer_in_one_piece_has_no_times_of_its_tokens() -> None:
    body = whole({"role": "assistant", "content": "hello", "tool_calls": [fragment("f", "{}", id="a")]})
    builder, answer = read(body[:20], body[20:])
    call = call_of(builder)
    assert (call.text, call.finish_reason, call.chunk_at, call.ended_at) == ("hello", "stop", (), 2)
    assert [each["id"] for each in call.reply["tool_calls"]] == ["a"]
    assert call.completion_tokens == 2
    assert answer.in_one_piece
    assert answer.carried


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "overloaded"}}', "overloaded"),
        (b'{"choices": [{"mess', "no chunk of an answer"),
        (b'{"choices": 3}', "no chunk of an answer"),
    ],
)
def test_one_piece_that_is_no_answer_is_told(body: bytes, said: str) -> None:
    builder, answer = read(body)
    assert said in builder.error
    assert said in answer.error


def test_a_stream_without_end_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_EVENTS", 2)
    builder, answer = read(*[event({"content": "a"})] * 3)
    assert builder.error == answer.error == "a stream of more than 2 events"
