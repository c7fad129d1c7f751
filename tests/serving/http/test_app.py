"""OpenAI's shapes and errors, with a fake engine."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive

from serving.core import EngineOverloaded, PromptTooLong
from serving.http.server import Drain
from tests.serving.fake_engine import FakeEngine, refusal
from tests.serving.http_client import CHAT, COMPLETIONS, HELLO, app_of, chunks, client_of, get, post

SCOPE = {"type": "http", "method": "POST", "path": CHAT, "headers": [], "query_string": b""}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


async def test_chat_in_one_piece() -> None:
    response = await post(FakeEngine("Hi", " there"), HELLO)
    body = response.json()
    assert response.status_code == 200
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    [choice] = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hi there"}
    assert choice["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] == len("Hi there")
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + len("Hi there")
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}


async def test_chat_streamed() -> None:
    response = await post(FakeEngine("Hi", " there", finish_reason="length"), {**HELLO, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    got = chunks(response)
    assert [chunk["choices"][0]["delta"] for chunk in got] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {"content": " there"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in got] == [None, None, None, "length"]
    assert all("usage" not in chunk for chunk in got)


async def test_usage_comes_last_when_asked_for() -> None:
    options = {"include_usage": True}
    got = chunks(await post(FakeEngine("a", "b"), {**HELLO, "stream": True, "stream_options": options}))
    assert [chunk["usage"] for chunk in got[:-1]] == [None] * 4
    assert got[-1]["choices"] == []
    assert got[-1]["usage"]["completion_tokens"] == 2


async def test_continuous_usage_is_in_every_chunk_even_where_the_text_is_held_back() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    got = chunks(await post(FakeEngine("", "b"), {**HELLO, "stream": True, "stream_options": options}))
    assert [chunk["usage"]["completion_tokens"] for chunk in got] == [1, 1, 2, 2, 2]


async def test_continuous_usage_counts_all_tokens_of_a_step() -> None:
    """A grammar may force many at once, and a call's name and arguments are chunks of their own."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {**HELLO, "stream": True, "stream_options": options, "tools": TOOLS, "tool_choice": "required"}
    got = chunks(await post(FakeEngine(' {"abc": 5', "}"), body))
    assert [chunk["usage"]["completion_tokens"] for chunk in got] == [10, 10, 10, 11, 11, 11]


async def test_completion_of_text_and_of_tokens() -> None:
    engine = FakeEngine("b", "c")
    text = await post(engine, {"model": "m", "prompt": "a"}, COMPLETIONS)
    ids = await post(engine, {"model": "m", "prompt": [5, 6], "stream": True}, COMPLETIONS)
    assert text.json()["choices"][0]["text"] == "bc"
    assert text.json()["object"] == "text_completion"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks(ids)) == "bc"
    assert engine.requests[1].prompt_ids == [5, 6]
    assert engine.requests[0].params.max_tokens == 16


async def test_a_forced_call_streams_as_openai_does() -> None:
    body = {**HELLO, "stream": True, "tools": TOOLS, "tool_choice": "required"}
    got = chunks(await post(FakeEngine(" ", "{", "}"), body))
    role, start, first, second, end = [chunk["choices"][0] for chunk in got]
    assert role["delta"] == {"role": "assistant", "content": None}
    [call] = start["delta"]["tool_calls"]
    assert call.pop("id").startswith("call_")
    assert call == {"index": 0, "type": "function", "function": {"name": "f", "arguments": ""}}
    assert first["delta"]["tool_calls"] == [{"index": 0, "function": {"arguments": "{"}}]
    assert second["delta"]["tool_calls"] == [{"index": 0, "function": {"arguments": "}"}}]
    assert end["finish_reason"] == "tool_calls"


async def test_a_call_that_ran_out_of_tokens_is_returned_incomplete() -> None:
    body = {**HELLO, "tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}}
    response = await post(FakeEngine(' {"a', finish_reason="length"), body)
    [choice] = response.json()["choices"]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a'}
    assert choice["finish_reason"] == "length"


async def test_parameters_reach_the_engine() -> None:
    engine = FakeEngine("a")
    more = {"temperature": 0, "top_p": 0.5, "top_k": -1, "seed": 7, "stop": "x", "max_completion_tokens": 9}
    await post(engine, {**HELLO, **more, "ignore_eos": True, "user": "me", "n": 1, "logprobs": None})
    params = engine.requests[0].params
    assert (params.temperature, params.top_p, params.top_k, params.seed) == (0, 0.5, 0, 7)
    assert (params.stop, params.max_tokens, params.ignore_eos) == (("x",), 9, True)
    assert (params.n, params.logprobs, params.logit_bias) == (1, None, ())


async def test_penalties_and_bias_reach_the_engine() -> None:
    engine = FakeEngine("a")
    shape = {"min_p": 0.1, "presence_penalty": 0.5, "frequency_penalty": -1, "repetition_penalty": 1.1}
    await post(engine, {**HELLO, **shape, "logit_bias": {"5": -100, "7": 2.5}, "logprobs": True, "n": 2})
    params = engine.requests[0].params
    got = (params.min_p, params.presence_penalty, params.frequency_penalty, params.repetition_penalty)
    assert got == (0.1, 0.5, -1.0, 1.1)
    assert (params.logit_bias, params.logprobs, params.n) == (((5, -100.0), (7, 2.5)), 0, 2)


async def test_an_answer_may_take_the_rest_of_the_context() -> None:
    engine = FakeEngine("a")
    await post(engine, HELLO)
    [request] = engine.requests
    assert request.params.max_tokens == 2000 - len(request.prompt_ids)


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"temperatur": 1}, "temperatur", "Did you mean 'temperature'?"),
        ({"temperature": "hot"}, "temperature", 'valid number, got "hot"'),
        ({"temperature": 3}, "temperature", "less than or equal to 2, got 3"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
        ({"n": 17}, "n", "less than or equal to 16, got 17"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"logprobs": 1}, "logprobs", "valid boolean, got 1"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "less than or equal to 20"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs=true"),
        ({"logit_bias": {"257": 1}}, "logit_bias", "token 257 is not in the vocabulary (0 to 256)"),
        ({"logit_bias": {"a": 1}}, "logit_bias", "the keys must be token ids, got 'a'"),
        ({"logit_bias": {"-1": 1}}, "logit_bias", "the keys must be token ids, got '-1'"),
        ({"logit_bias": {"5": 101}}, "logit_bias[5]", "less than or equal to 100"),
        ({"logit_bias": {str(token): 1 for token in range(1025)}}, "logit_bias", "at most 1024"),
        ({"presence_penalty": 2.5}, "presence_penalty", "less than or equal to 2"),
        ({"frequency_penalty": -2.5}, "frequency_penalty", "greater than or equal to -2"),
        ({"repetition_penalty": 0}, "repetition_penalty", "greater than or equal to 0.01"),
        ({"repetition_penalty": 1e-300}, "repetition_penalty", "greater than or equal to 0.01"),
        ({"min_p": 1.5}, "min_p", "less than or equal to 1"),
        ({"echo": True}, "echo", "echo=true is not supported by this server (only false is)"),
        ({"stop": "a" * 1025}, "stop", "at most 1024 characters"),
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "Missing required parameter"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "valid string, got 5"),
        ({"messages": [{"role": "boss", "content": "a"}]}, "messages[0]", "boss"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
            "only text parts are supported, got a part of type 'image_url'",
        ),
        ({"stream_options": {"usage": True}}, "stream_options.usage", "Unknown parameter"),
        ({"tool_choice": "required"}, "tool_choice", "needs tools"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice",
            "no tool is named 'g'; there are: f",
        ),
        ({"tools": TOOLS * 2}, "tools", "more than once"),
        ({"response_format": {"type": "xml"}}, "response_format", "xml"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "dict"}}}},
            "response_format",
            "can't be enforced: Invalid type: dict",
        ),
    ],
)
async def test_a_wrong_parameter_is_named(change: dict[str, Any], param: str, message: str) -> None:
    response = await post(FakeEngine("a"), {**HELLO, **change})
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["param"] == param
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"


async def test_an_unknown_model_is_404() -> None:
    response = await post(FakeEngine("a"), {**HELLO, "model": "other"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert "'m'" in response.json()["error"]["message"]


@pytest.mark.parametrize("change", [{"messages": [{"role": "user", "content": "a" * 3000}]}, {"max_tokens": 1999}])
async def test_a_prompt_that_is_too_long_is_refused_with_both_lengths(change: dict[str, Any]) -> None:
    response = await post(FakeEngine("a"), {**HELLO, **change})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "context_length_exceeded")
    assert "2000" in error["message"]
    assert "the prompt has" in error["message"]


async def test_a_text_that_can_not_fit_is_refused_before_tokenization() -> None:
    engine = FakeEngine("a")
    engine.tokenizer.encode = None  # type: ignore[assignment, method-assign]
    response = await post(engine, {"model": "m", "prompt": "a" * 20_000}, COMPLETIONS)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_the_engines_refusals_have_their_status() -> None:
    engine = FakeEngine("a")
    engine.refusal = EngineOverloaded("1024 requests wait already")
    busy = await post(engine, HELLO)
    engine.refusal = PromptTooLong("needs more blocks than there are")
    long = await post(engine, HELLO)
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
    assert busy.json()["error"]["message"] == "1024 requests wait already"
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize(("drain_s", "retry_after"), [(7, "7"), (0.2, "1"), (0, "1"), (1.5, "2")])
async def test_a_stopping_server_refuses_requests(drain_s: float, retry_after: str) -> None:
    engine, drain = FakeEngine("a"), Drain(drain_s)
    async with client_of(app_of(engine, drain=drain)) as client:
        assert (await client.post(CHAT, json=HELLO)).status_code == 200
        drain.start()
        refused = await client.post(CHAT, json=HELLO)
        assert (await client.get("/health")).json()["status"] == "draining"
    assert (refused.status_code, refused.headers["retry-after"]) == (503, retry_after)
    assert refused.json()["error"]["type"] == "server_error"
    assert len(engine.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_token_is_a_500(stream: bool) -> None:
    engine = FakeEngine("", finish_reason="abort", error="out of memory")
    response = await post(engine, {**HELLO, "stream": stream})
    assert response.status_code == 500
    assert "out of memory" in response.json()["error"]["message"]


async def test_a_failure_in_a_stream_is_an_error_event() -> None:
    engine = FakeEngine("a", finish_reason="length")
    engine.unfinished = True
    sent: list[bytes] = []

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if len(sent) == 2:  # after the first token
            engine.requests[0].on_delta(refusal("out of memory"))

    await asyncio.wait_for(app_of(engine)(SCOPE, still_there({**HELLO, "stream": True}), send), 5)
    assert b'"content":"a"' in sent[1]
    assert b"out of memory" in sent[2]
    assert sent[2].endswith(b"data: [DONE]\n\n")
    assert engine.aborted == []


async def test_models_and_health() -> None:
    [model] = (await get("/v1/models")).json()["data"]
    assert model["id"] == "m"
    assert model["architecture"] == {"num_parameters": 12, "num_layers": 3, "max_model_len": 2000}
    assert (await get("/v1/models/m")).json()["id"] == "m"
    assert (await get("/v1/models/x")).status_code == 404
    assert (await get("/health")).json()["status"] == "ok"


async def test_the_prefix_cache_is_reset_as_with_vllm() -> None:
    engine = FakeEngine()
    async with client_of(app_of(engine)) as client:
        assert (await client.post("/reset_prefix_cache")).json() == {}
        assert (await client.get("/reset_prefix_cache")).status_code == 405
    assert engine.resets == 1


async def test_an_unknown_route_names_the_prefix_of_the_endpoints() -> None:
    missing, method = await get("/chat/completions"), await get(COMPLETIONS)
    assert (missing.status_code, method.status_code) == (404, 405)
    assert "under /v1" in missing.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_disconnects_ends_its_request(stream: bool) -> None:
    engine = FakeEngine()  # never answers
    gone = asyncio.Event()

    async def send(message: Message) -> None:
        raise AssertionError("there is nothing to send")

    receive = still_there({**HELLO, "stream": stream}, gone)
    answering = asyncio.ensure_future(app_of(engine)(SCOPE, receive, send if stream else nothing))
    while not engine.requests:
        await asyncio.wait({answering}, timeout=0.01)
    assert engine.aborted == []
    gone.set()
    await asyncio.wait_for(answering, 5)
    assert engine.aborted == [engine.requests[0].id]


def still_there(body: object, gone: asyncio.Event | None = None) -> Receive:
    """The `receive` of a client that has sent its request, and disconnects when `gone` is set."""
    incoming = [{"type": "http.request", "body": json.dumps(body).encode()}]
    gone = gone or asyncio.Event()

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


async def nothing(message: Message) -> None:
    pass
