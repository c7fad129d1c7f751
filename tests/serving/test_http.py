"""OpenAI's shapes and errors, over an engine that says what it is told to."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from starlette.types import Message

from serving.engine import EngineOverloaded, PromptTooLong
from serving.http import create_app
from tests.serving.fake_engine import FakeEngine

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def app_of(engine: FakeEngine) -> Any:
    return create_app(engine, "m", start=lambda: None, shutdown=lambda: None)


async def post(engine: FakeEngine, body: object, path: str = "/v1/chat/completions") -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app_of(engine))
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await client.post(path, content=content)


async def get(path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app_of(FakeEngine()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
        return await client.get(path)


def chunks(response: httpx2.Response) -> list[dict[str, Any]]:
    events = response.text.removesuffix("\n\n").split("\n\n")
    assert events.pop() == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def test_chat_in_one_piece() -> None:
    response = await post(FakeEngine("Hi", " there"), HELLO)
    body = response.json()
    assert response.status_code == 200
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    [choice] = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hi there"}
    assert choice["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + 2
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


async def test_completion_of_text_and_of_tokens() -> None:
    engine = FakeEngine("b", "c")
    text = await post(engine, {"model": "m", "prompt": "a"}, "/v1/completions")
    ids = await post(engine, {"model": "m", "prompt": [5, 6], "stream": True}, "/v1/completions")
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


async def test_a_call_that_ran_out_of_tokens_is_given_as_it_is() -> None:
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
        ({"n": 2}, "n", "n=2 is not supported by this server (only 1 is)"),
        ({"logprobs": True}, "logprobs", "not supported"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "not supported"),
        ({"presence_penalty": 0.5}, "presence_penalty", "not supported"),
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


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    response = await post(FakeEngine("a"), body)
    assert response.status_code == 400
    assert "JSON" in response.json()["error"]["message"]


async def test_an_unknown_model_is_404() -> None:
    response = await post(FakeEngine("a"), {**HELLO, "model": "other"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert "'m'" in response.json()["error"]["message"]


@pytest.mark.parametrize("change", [{"messages": [{"role": "user", "content": "a" * 3000}]}, {"max_tokens": 1999}])
async def test_too_long_gives_both_numbers(change: dict[str, Any]) -> None:
    response = await post(FakeEngine("a"), {**HELLO, **change})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "context_length_exceeded")
    assert "2000" in error["message"]
    assert "the prompt has" in error["message"]


async def test_the_engines_refusals_have_their_status() -> None:
    engine = FakeEngine("a")
    engine.refusal = EngineOverloaded("1024 requests wait already")
    busy = await post(engine, HELLO)
    engine.refusal = PromptTooLong("needs more blocks than there are")
    long = await post(engine, HELLO)
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
    assert busy.json()["error"]["message"] == "1024 requests wait already"
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_token_is_a_500(stream: bool) -> None:
    engine = FakeEngine("", finish_reason="abort", error="out of memory")
    response = await post(engine, {**HELLO, "stream": stream})
    assert response.status_code == 500
    assert "out of memory" in response.json()["error"]["message"]


async def test_a_failure_in_a_stream_is_an_error_event() -> None:
    engine = FakeEngine("a", "", finish_reason="abort", error="out of memory")
    got = chunks(await post(engine, {**HELLO, "stream": True}))
    assert "out of memory" in got[-1]["error"]["message"]


async def test_models_and_health() -> None:
    models = (await get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == ["m"]
    assert (await get("/v1/models/m")).json()["id"] == "m"
    assert (await get("/v1/models/x")).status_code == 404
    assert (await get("/health")).json()["status"] == "ok"


async def test_a_route_that_is_not_there_says_where_they_are() -> None:
    missing, method = await get("/chat/completions"), await get("/v1/completions")
    assert (missing.status_code, method.status_code) == (404, 405)
    assert "under /v1" in missing.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_ends_its_request(stream: bool) -> None:
    engine = FakeEngine()  # never answers
    sent: list[Message] = []
    gone = asyncio.Event()
    body = {"type": "http.request", "body": json.dumps({**HELLO, "stream": stream}).encode()}
    incoming = [body]

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [],
        "query_string": b"",
    }
    answering = asyncio.ensure_future(app_of(engine)(scope, receive, send))
    while not engine.requests:
        await asyncio.wait({answering}, timeout=0.01)
    assert engine.aborted == []
    gone.set()
    await asyncio.wait_for(answering, 5)
    assert engine.aborted == [engine.requests[0].id]
