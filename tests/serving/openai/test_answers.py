"""Several answers to one prompt."""

from typing import Any

from tests.serving.fake_engine import FakeEngine
from tests.serving.http_client import COMPLETIONS, HELLO, chunks, post


async def test_answers_in_one_piece_count_the_prompt_once() -> None:
    body = (await post(FakeEngine("Hi", "!"), {**HELLO, "n": 3})).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in body["choices"]} == {"Hi!"}
    one = (await post(FakeEngine("Hi", "!"), HELLO)).json()
    assert body["usage"]["completion_tokens"] == 9
    assert body["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}


def texts(got: list[dict[str, Any]], answers: int) -> list[str]:
    text = [""] * answers
    for chunk in got:
        for choice in chunk["choices"]:
            text[choice["index"]] += choice["delta"].get("content") or ""
    return text


async def test_answers_stream_interleaved_until_all_have_ended() -> None:
    options = {"include_usage": True}
    got = chunks(await post(FakeEngine("a", "b"), {**HELLO, "n": 2, "stream": True, "stream_options": options}))
    assert texts(got, 2) == ["ab", "ab"]
    indexes = [chunk["choices"][0]["index"] for chunk in got[:-1]]
    assert indexes == [0, 0, 1, 1, 0, 0, 1, 1]  # role and first piece of each, then the last piece and the end
    roles = [chunk["choices"][0]["index"] for chunk in got[:-1] if "role" in chunk["choices"][0]["delta"]]
    ends = [chunk["choices"][0]["index"] for chunk in got[:-1] if chunk["choices"][0]["finish_reason"]]
    assert (roles, ends) == ([0, 1], [0, 1])
    assert got[-1]["usage"]["completion_tokens"] == 4


async def test_continuous_usage_sums_over_the_answers() -> None:
    options = {"continuous_usage_stats": True}
    body = {"model": "m", "prompt": "x", "n": 2, "stream": True, "stream_options": options}
    got = chunks(await post(FakeEngine("ab", "c"), body, COMPLETIONS))
    counts = [chunk["usage"]["completion_tokens"] for chunk in got]
    assert counts == [2, 4, 5, 5, 6, 6]


async def test_each_answer_has_its_own_calls_and_logprobs() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    body = {**HELLO, "n": 2, "tools": tools, "tool_choice": "required", "logprobs": True}
    answer = (await post(FakeEngine(" {", "}"), body)).json()
    ids = set()
    for choice in answer["choices"]:
        [call] = choice["message"]["tool_calls"]
        ids.add(call["id"])
        assert call["function"] == {"name": "f", "arguments": "{}"}
        assert [entry["token"] for entry in choice["logprobs"]["content"]] == [" ", "{", "}"]
    assert len(ids) == 2


async def test_one_answer_that_fails_ends_the_request() -> None:
    engine = FakeEngine("", finish_reason="abort", error="out of memory")
    response = await post(engine, {**HELLO, "n": 2})
    assert response.status_code == 500
    assert engine.aborted == [engine.requests[0].id]
