"""Log probabilities in OpenAI's shapes, streamed and whole."""

from typing import Any

from serving.openai.logprobs import LEAST, ChatLogprobs, CompletionLogprobs
from serving.request import TokenLogprob
from tests.serving.fake_engine import ByteTokenizer, FakeEngine
from tests.serving.http_client import COMPLETIONS, HELLO, chunks, post

TOKENIZER = ByteTokenizer()


def token(text: str) -> int:
    [token_id] = TOKENIZER.encode(text)
    return token_id


async def test_chat_tells_each_token_with_its_alternatives() -> None:
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


async def test_chat_without_alternatives() -> None:
    response = await post(FakeEngine("a"), {**HELLO, "logprobs": True})
    [entry] = response.json()["choices"][0]["logprobs"]["content"]
    assert entry["top_logprobs"] == []


async def test_none_where_none_are_asked_for() -> None:
    response = await post(FakeEngine("a"), {**HELLO, "logprobs": False})
    assert response.json()["choices"][0]["logprobs"] is None


def told(got: list[dict[str, Any]], key: str) -> list[Any]:
    """What all chunks have under a key of their logprobs."""
    reports = [chunk["choices"][0]["logprobs"] for chunk in got]
    return [entry for report in reports if report for entry in report[key]]


async def test_a_stream_tells_the_same_and_none_is_lost_with_text_that_is_held_back() -> None:
    body = {**HELLO, "logprobs": True, "top_logprobs": 1}
    whole = await post(FakeEngine("a", "", "bc", ""), body)
    got = chunks(await post(FakeEngine("a", "", "bc", ""), {**body, "stream": True}))
    assert told(got, "content") == whole.json()["choices"][0]["logprobs"]["content"]
    assert len(told(got, "content")) == 5
    assert got[0]["choices"][0]["logprobs"] is None  # the role


async def test_completions_have_the_older_shape() -> None:
    body = {"model": "m", "prompt": "x", "logprobs": 2}
    whole = await post(FakeEngine("ab", "c"), body, COMPLETIONS)
    report = whole.json()["choices"][0]["logprobs"]
    assert report["tokens"] == ["a", "b", "c"]
    assert report["token_logprobs"] == [-0.5] * 3
    assert report["text_offset"] == [0, 1, 2]
    assert report["top_logprobs"][0] == {"a": -0.5, "b": -1.5}
    got = chunks(await post(FakeEngine("ab", "c"), {**body, "stream": True}, COMPLETIONS))
    assert {key: told(got, key) for key in report} == report


async def test_completions_with_zero_alternatives_tell_the_token_itself() -> None:
    response = await post(FakeEngine("a"), {"model": "m", "prompt": "x", "logprobs": 0}, COMPLETIONS)
    assert response.json()["choices"][0]["logprobs"]["top_logprobs"] == [{"a": -0.5}]


def test_parts_of_a_character_are_written_as_bytes() -> None:
    tokens = [TokenLogprob(token_id=part, logprob=-1.0) for part in TOKENIZER.encode("é!")]
    older, newer = CompletionLogprobs(TOKENIZER), ChatLogprobs(TOKENIZER)
    older.feed(tokens)
    newer.feed(tokens)
    assert older.whole()["tokens"] == ["bytes:\\xc3", "bytes:\\xa9", "!"]
    assert older.whole()["text_offset"] == [0, 0, 1]
    entries = newer.whole()["content"]
    assert bytes(byte for entry in entries for byte in entry["bytes"]).decode() == "é!"


def test_an_impossible_token_has_a_number_that_json_knows() -> None:
    report = ChatLogprobs(TOKENIZER)
    report.feed([TokenLogprob(token_id=token("a"), logprob=float("-inf"), top=((token("b"), float("-inf")),))])
    [entry] = report.whole()["content"]
    assert (entry["logprob"], entry["top_logprobs"][0]["logprob"]) == (LEAST, LEAST)


def test_the_end_takes_no_place_in_the_text() -> None:
    report = CompletionLogprobs(TOKENIZER)
    report.feed([TokenLogprob(token_id=id, logprob=-1.0) for id in (token("a"), *TOKENIZER.eos_ids, token("b"))])
    assert report.whole()["text_offset"] == [0, 1, 1]
