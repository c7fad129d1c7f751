"""Answers as servers differ in giving them: what they say, what counts as a token, and when it came."""

import json
from typing import Any

import pytest

from agentbench.http import event_stream
from agentbench.openai_stream import StreamedAnswer, ToolCalls, decode

DONE = b"data: [DONE]\n\n"


def event(delta: Any = None, finish_reason: str | None = None, **choice: Any) -> bytes:
    found = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason, **choice}
    return chunk(found)


def chunk(choice: dict[str, Any] | None = None, **rest: Any) -> bytes:
    found = [] if choice is None else [{"index": 0, "finish_reason": None, "logprobs": None, **choice}]
    return b"data: " + json.dumps({"id": "x", "choices": found, **rest}).encode() + b"\n\n"


def usage(tokens: int, cached: int | None = None) -> dict[str, Any]:
    counts = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}
    return counts if cached is None else {**counts, "prompt_tokens_details": {"cached_tokens": cached}}


def whole(message: Any, finish_reason: str | None = "stop", **body: Any) -> bytes:
    choices = [{"index": 0, "message": message, "finish_reason": finish_reason}]
    return json.dumps({"choices": choices, "usage": usage(2), **body}, indent=1).encode()


def read(*reads: bytes) -> StreamedAnswer:
    """The answer in these reads, which came at 1, 2, …"""
    return decode(list(enumerate(reads, 1)))


def times(*reads: bytes) -> tuple[tuple[int, ...], tuple[int, ...], bool, int]:
    """When its tokens came, how many, whether the server counted them so, and how many chunks showed nothing."""
    chunks = read(*reads).chunks()
    return chunks.at, chunks.tokens, chunks.counted, chunks.silent


def made(*deltas: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """The calls that these deltas make: id, name, arguments."""
    calls = ToolCalls()
    for fragments in deltas:
        calls.add(fragments)
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls.calls()]


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


def test_a_chunk_is_one_that_carries_something() -> None:
    answer = read(
        event({"role": "assistant", "content": ""}),
        event({"reasoning_content": "let me see"}),
        event({"content": "hel"}),
        event({"content": "lo"}),
        event({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}),
        event({}, "stop"),
        chunk(usage=usage(4, cached=2)),
        DONE,
    )
    chunks = answer.chunks()
    assert (chunks.at, chunks.counted, chunks.silent) == ((2, 3, 4, 5), False, 0)
    assert answer.ended_at == 7
    assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (3, 2, 4)
    assert (answer.message()["content"], answer.finish_reason, answer.done) == ("hello", "stop", True)


def test_chunks_of_one_read_are_one() -> None:
    first = chunk({"delta": {"content": "a"}}, usage=usage(1)) + chunk({"delta": {"content": "b"}}, usage=usage(2))
    reads = first, chunk({"delta": {"content": "c"}}, usage=usage(3)), event({}, "stop")
    assert times(*reads) == ((1, 2), (2, 1), True, 0)
    assert read(*reads).message()["content"] == "abc"
    assert times(event({"content": "a"}) + event({"content": "b"}), event({"content": "c"})) == (
        (1, 2),
        (2, 1),
        False,
        0,
    )


def test_counts_in_every_chunk_tell_of_several_tokens_and_of_those_without_text() -> None:
    assert times(
        chunk({"delta": {"role": "assistant", "content": ""}}, usage=usage(0)),
        chunk({"delta": {"content": ""}}, usage=usage(1)),
        chunk({"delta": {"content": "abc"}}, usage=usage(4)),
        chunk({"delta": {}}, usage=usage(5)),
        chunk(usage=usage(6)),
        chunk({"delta": {"content": "d"}, "finish_reason": "stop"}, usage=usage(7)),
    ) == ((2, 3, 4, 5, 6), (1, 3, 1, 1, 1), True, 1)


def test_an_answer_of_which_nothing_is_seen_is_silent_to_its_end() -> None:
    reads = chunk({"text": ""}, usage=usage(1)), chunk({"text": "", "finish_reason": "stop"}, usage=usage(2))
    assert times(*reads) == ((1,), (1,), True, 1)
    assert not read(*reads).carried


def test_the_token_that_ends_a_turn_has_no_chunk_but_one_that_the_limit_ends_has() -> None:
    first = chunk({"text": "a"}, usage=usage(1))
    assert times(first, chunk({"text": "", "finish_reason": "stop"}, usage=usage(2)))[0] == (1,)
    assert times(first, event({}, "stop"), chunk(usage=usage(2)))[0] == (1,)
    assert times(first, chunk({"text": "", "finish_reason": "length"}, usage=usage(2)))[0] == (1, 2)


def test_a_text_completion_without_counts_has_a_token_in_each_chunk() -> None:
    closing = chunk({"text": "", "finish_reason": "length"})
    assert times(chunk({"text": "a"}), chunk({"text": ""}), closing) == ((1, 2), (1, 1), False, 0)
    assert times(chunk({"text": ""}), chunk({"text": "a"}), closing) == ((1, 2), (1, 1), False, 1)


def test_counts_that_come_at_the_end_only_are_of_no_chunk() -> None:
    closing = chunk({"text": "", "finish_reason": "length"}, usage=usage(2))
    reads = chunk({"text": "a"}), chunk({"text": "b"}), closing
    assert times(*reads) == ((1, 2), (1, 1), False, 0)
    assert read(*reads).completion_tokens == 2


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param((5, 2, 3), id="that fall"),
        pytest.param((1, 1, None), id="in some chunks"),
    ],
)
def test_other_counts_are_no_counts_of_chunks(counts: tuple[int | None, ...]) -> None:
    opening = chunk({"delta": {"role": "assistant"}}, usage=usage(1))
    said = (chunk({"delta": {"content": "a"}}, usage=None if count is None else usage(count)) for count in counts)
    assert times(opening, *said) == ((2, 3, 4), (1, 1, 1), False, 0)
    nothing = [chunk({"delta": {"content": "a"}}, usage=usage(0))] * 2
    assert times(*nothing) == ((1, 2), (1, 1), False, 0)


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
    answer = read(event(delta), event({"content": "yes"}), event({}, "stop"))
    assert (answer.message()["reasoning_content"], answer.message()["content"]) == ("hmm", "yes")
    assert answer.chunks().at == (1, 2), "its first chunk is the first one that is seen"


def test_content_in_parts_is_text() -> None:
    parts = [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]
    assert read(event({"content": parts}), event({}, "stop")).message()["content"] == "hello"
    assert "no chunk of an answer" in read(event({"content": 7})).error


def test_fragments_of_calls_are_put_together_by_their_index() -> None:
    def part(index: int, name: str | None, arguments: str, call_id: str | None = None) -> bytes:
        return event({"tool_calls": [fragment(name, arguments, index=index, id=call_id)]})

    message = read(part(1, "g", "", "b"), part(0, "f", "{", "a"), part(1, None, "{}"), part(0, None, "}")).message()
    found = [(each["id"], each["function"]["name"], each["function"]["arguments"]) for each in message["tool_calls"]]
    assert found == [("a", "f", "{}"), ("b", "g", "{}")]
    assert message["content"] is None


def test_arguments_may_be_an_object() -> None:
    answer = read(event({"tool_calls": [fragment("f", {"n": 1}, id="a")]}), event({}, "tool_calls"))
    assert answer.message()["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"n": 1}'}


def test_done_ends_an_answer_without_a_finish_reason() -> None:
    answer = read(event({"content": "hello"}), DONE)
    assert (answer.is_complete, answer.message()["content"], answer.finish_reason) == (True, "hello", None)
    assert not read(event({"content": "hello"})).is_complete


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (event({}, "error"), "finish_reason 'error'"),
        (event({}, "error", error={"message": "the upstream died", "code": 502}), "the upstream died"),
        (b'data: {"error": {"message": "out of memory", "code": 500}}\n\n', "out of memory"),
    ],
)
def test_an_answer_that_ends_in_an_error_is_none(last: bytes, said: str) -> None:
    answer = read(event({"content": "hel"}), last, DONE)
    assert said in answer.error
    assert answer.chunks().at == (1,)


def test_an_event_that_is_no_chunk_is_told() -> None:
    assert "no chunk of an answer: '{nonsense'" in read(b"data: {nonsense\n\n").error
    assert "no chunk of an answer" in read(b'data: {"choices": 3}\n\n').error
    assert "no chunk of an answer" in read(b"data: " + b"[" * 5000 + b"\n\n").error


def test_what_a_server_leaves_null_or_adds_does_no_harm() -> None:
    answer = read(
        chunk({"delta": {"content": "a", "tool_calls": None, "refusal": None}}, service_tier="x", error=None),
        chunk(None, usage=None),
        b'data: {"choices": null}\n\n',
        b'data: {"choices": [{"delta": null, "finish_reason": "stop"}]}\n\n',
    )
    assert (answer.message()["content"], answer.finish_reason, answer.completion_tokens) == ("a", "stop", None)


def test_a_count_that_is_left_out_later_is_the_one_before() -> None:
    answer = read(
        chunk({"delta": {"content": "a"}}, usage=usage(1, cached=2)), event({}, "stop"), chunk(usage=usage(1))
    )
    assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (3, 2, 1)


def test_half_a_character_is_text() -> None:
    halves = b'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n'
    answer = read(halves, event({}, "stop"))
    assert (answer.error, answer.message()["content"]) == ("", "\ud83d")


@pytest.mark.parametrize("count", [-1, 2**63, 2**100, 1.5, "3", True])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_count_that_is_none_is_the_servers_failure(name: str, count: Any) -> None:
    answer = read(event({"content": "hi"}), chunk({"finish_reason": "stop"}, usage={**usage(1), name: count}), DONE)
    assert answer.error == f"usage.{name}: {count!r} is no number of tokens"


def test_a_count_of_cached_tokens_that_is_none_is_the_servers_failure() -> None:
    answer = read(event({"content": "hi"}), chunk({"finish_reason": "stop"}, usage=usage(1, cached=-5)), DONE)
    assert answer.error == "usage.prompt_tokens_details.cached_tokens: -5 is no number of tokens"


def test_a_refusal_is_what_was_answered() -> None:
    answer = read(event({"refusal": "I can't "}), event({"refusal": "do that."}), event({}, "stop"))
    assert answer.message()["content"] == answer.message()["refusal"] == "I can't do that."
    assert answer.chunks().at == (1, 2)


def test_an_answer_in_one_piece_has_no_times_of_its_tokens() -> None:
    body = whole({"role": "assistant", "content": "hello", "tool_calls": [fragment("f", "{}", id="a")]})
    answer = read(body[:20], body[20:])
    message = answer.message()
    assert (message["content"], answer.finish_reason, answer.ended_at) == ("hello", "stop", 2)
    assert (answer.chunks().at, answer.chunks().counted) == ((), False)
    assert [each["id"] for each in message["tool_calls"]] == ["a"]
    assert answer.completion_tokens == 2
    assert answer.is_complete
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
    assert said in read(body).error


def test_a_stream_without_end_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_EVENTS", 2)
    assert read(*[event({"content": "a"})] * 3).error == "a stream of more than 2 events"


def test_the_digest_is_of_what_is_said_however_it_is_cut() -> None:
    def digest(*texts: str, arguments: tuple[str, ...] = ()) -> str:
        calls = [{"tool_calls": [fragment(None, part, index=0)]} for part in arguments]
        return read(*(event({"content": text}) for text in texts), *map(event, calls)).digest

    assert digest("ab", "c") == digest("a", "bc")
    assert digest("ab", "c") != digest("abd")
    assert digest("a", arguments=("{", "}")) == digest("a", arguments=("{}",)) != digest("a")
