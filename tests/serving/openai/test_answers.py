"""Several answers to one prompt, and log probabilities in OpenAI's shapes, with and without streaming."""

from typing import Any

from serving.core import TokenLogprob
from serving.openai.answers import MIN_LOGPROB, ChatLogprobs, CompletionLogprobs
from tests.serving.fake_engine import ByteTokenizer, FakeEngine
from tests.serving.http_client import COMPLETIONS, HELLO, chunks, post


async def test_several_answers_count_the_prompt_once() -> None:
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


TOKENIZER = ByteTokenizer()


def token(text: str) -> int:
    [token_id] = TOKENIZER.encode(text)
    return token_id


async def test_chat_logprobs_have_each_token_with_its_alternatives() -> None:
    response = await post(FakeEngine("Hi"), {**HELLO, "logprobs": True, "top_logprobs": 2})
    [choice] = response.json()["choices"]
    first, second = choice["logprobs"]["content"]
    following = chr(ord("H") + 1)
    assert (first["token"], first["logprob"], first["bytes"]) == ("H", -0.5, [ord("H")])
    assert first["top_logprobs"] == [
        {"token": "H", "logprob": -0.5, "bytes": [ord("H")]},
        {"token": following, "logprob": -1.5, "bytes": [ord(following)]},
    ]
    assert second["token"] == "i"
    assert choice["logprobs"]["refusal"] is None


async def test_chat_logprobs_without_alternatives() -> None:
    response = await post(FakeEngine("a"), {**HELLO, "logprobs": True})
    [entry] = response.json()["choices"][0]["logprobs"]["content"]
    assert entry["top_logprobs"] == []


async def test_no_logprobs_unless_requested() -> None:
    response = await post(FakeEngine("a"), {**HELLO, "logprobs": False})
    assert response.json()["choices"][0]["logprobs"] is None


def logprob_entries(got: list[dict[str, Any]], key: str) -> list[Any]:
    """The joined lists that the chunks have under this key of their logprobs."""
    reports = [chunk["choices"][0]["logprobs"] for chunk in got]
    return [entry for report in reports if report for entry in report[key]]


async def test_a_stream_has_all_logprobs_also_of_tokens_whose_text_is_held_back() -> None:
    body = {**HELLO, "logprobs": True, "top_logprobs": 1}
    whole = await post(FakeEngine("a", "", "bc", ""), body)
    got = chunks(await post(FakeEngine("a", "", "bc", ""), {**body, "stream": True}))
    assert logprob_entries(got, "content") == whole.json()["choices"][0]["logprobs"]["content"]
    assert len(logprob_entries(got, "content")) == 5
    assert got[0]["choices"][0]["logprobs"] is None  # the role


async def test_completion_logprobs_have_their_own_shape() -> None:
    body = {"model": "m", "prompt": "x", "logprobs": 2}
    whole = await post(FakeEngine("ab", "c"), body, COMPLETIONS)
    report = whole.json()["choices"][0]["logprobs"]
    assert report["tokens"] == ["a", "b", "c"]
    assert report["token_logprobs"] == [-0.5] * 3
    assert report["text_offset"] == [0, 1, 2]
    assert report["top_logprobs"][0] == {"a": -0.5, "b": -1.5}
    got = chunks(await post(FakeEngine("ab", "c"), {**body, "stream": True}, COMPLETIONS))
    assert {key: logprob_entries(got, key) for key in report} == report


async def test_completion_logprobs_with_zero_alternatives_have_the_token_itself() -> None:
    response = await post(FakeEngine("a"), {"model": "m", "prompt": "x", "logprobs": 0}, COMPLETIONS)
    assert response.json()["choices"][0]["logprobs"]["top_logprobs"] == [{"a": -0.5}]


def test_parts_of_a_character_are_written_as_bytes() -> None:
    tokens = [TokenLogprob(token_id=part, logprob=-1.0) for part in TOKENIZER.encode("é!")]
    completion, chat = CompletionLogprobs(TOKENIZER), ChatLogprobs(TOKENIZER)
    completion.feed(tokens)
    chat.feed(tokens)
    assert completion.complete()["tokens"] == ["bytes:\\xc3", "bytes:\\xa9", "!"]
    assert completion.complete()["text_offset"] == [0, 0, 1]
    entries = chat.complete()["content"]
    assert bytes(byte for entry in entries for byte in entry["bytes"]).decode() == "é!"


def test_an_impossible_token_has_a_finite_logprob() -> None:
    report = ChatLogprobs(TOKENIZER)
    report.feed([TokenLogprob(token_id=token("a"), logprob=float("-inf"), top=((token("b"), float("-inf")),))])
    [entry] = report.complete()["content"]
    assert (entry["logprob"], entry["top_logprobs"][0]["logprob"]) == (MIN_LOGPROB, MIN_LOGPROB)


def test_the_end_of_sequence_does_not_change_text_offsets() -> None:
    report = CompletionLogprobs(TOKENIZER)
    report.feed([TokenLogprob(token_id=id, logprob=-1.0) for id in (token("a"), *TOKENIZER.eos_ids, token("b"))])
    assert report.complete()["text_offset"] == [0, 1, 1]
