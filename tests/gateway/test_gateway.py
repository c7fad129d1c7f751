"""The gateway, asked as frameworks ask it: by the official client, streamed and not, many at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2 as httpx
import openai
import pytest

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.backends.scripted import ScriptedBackend, ScriptedConfig
from agentbench.core.errors import AttemptError, ServerRefused
from agentbench.core.protocols import Backend, ChatRequest, Endpoint, Relay
from agentbench.core.trace import ModelCall
from agentbench.gateway import Gateway, Route
from agentbench.run.recorder import Recorder
from agentbench.suite.config import Limits
from tests.backends.chat_server import chat_server
from tests.fakes import SayBackend, adder

ECHO = ScriptedConfig.model_validate(
    {
        "replies": [
            {"when": "add", "content": "let me see", "tool_calls": [{"name": "add", "arguments": {"a": 2, "b": 3}}]},
            {"when": "down", "fail": "it is down"},
        ],
        "default": "hello there world",
    }
)


@asynccontextmanager
async def opened(backend: Backend | None = None, **limits: int) -> AsyncIterator[tuple[Gateway, Route, Recorder]]:
    recorder = Recorder(backend or ScriptedBackend(ECHO), adder(), 7, Limits(**limits))
    async with Gateway() as gateway, gateway.route(recorder) as route:
        yield gateway, route, recorder


def client_of(route: Route) -> openai.AsyncOpenAI:
    http = httpx.AsyncClient(verify=False)  # without loading certificates, which no request of these tests needs
    return openai.AsyncOpenAI(base_url=route.base_url, api_key=route.api_key, max_retries=0, http_client=http)


def say(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def test_a_whole_answer() -> None:
    async with opened() as (_, route, recorder), client_of(route) as client:
        answer = await client.chat.completions.create(model="any", messages=say("hi"), temperature=0.5)
    assert answer.choices[0].message.content == "hello there world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1, 3)
    [call] = recorder.trace().model_calls
    assert call.text == "hello there world"
    assert call.messages == tuple(say("hi"))
    assert call.request["seed"] == 7


async def test_a_streamed_answer_with_its_tool_call() -> None:
    async with opened() as (_, route, recorder), client_of(route) as client:
        stream = await client.chat.completions.create(model="any", messages=say("add"), stream=True)
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "let me see"
    [call] = [call for delta in deltas for call in delta.tool_calls or ()]
    assert call.function is not None
    assert json.loads(call.function.arguments or "") == {"a": 2, "b": 3}
    assert len(recorder.trace().model_calls) == 1


async def test_bytes_go_out_while_the_model_still_speaks() -> None:
    class Halting(ScriptedBackend):
        """Says one chunk, and the rest when it is let."""

        go_on = asyncio.Event()

        async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
            assert relay is not None
            relay(b'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "first"}}]}\n\n')
            await self.go_on.wait()
            return await super().chat(request, relay)

    backend = Halting(ECHO)
    async with opened(backend) as (_, route, _recorder), client_of(route) as client:
        stream = await client.chat.completions.create(model="any", messages=say("hi"), stream=True)
        first = await anext(aiter(stream))
        assert first.choices[0].delta.content == "first"
        backend.go_on.set()
        assert len([chunk async for chunk in stream]) > 3


@pytest.mark.parametrize("begun", [False, True])
async def test_a_server_that_fails_before_its_first_token_is_a_status_until_its_stream_has_begun(begun: bool) -> None:
    class Breaking(ScriptedBackend):
        async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
            assert relay is not None
            if begun:
                relay(b"")
                await asyncio.sleep(0)
            raise AttemptError("infra", "the connection broke")

    async with opened(Breaking(ECHO)) as (_, route, _recorder), httpx.AsyncClient(verify=False) as client:
        answer = await client.post(
            f"{route.base_url}/chat/completions",
            json={"messages": say("hi"), "stream": True},
            headers={"authorization": f"Bearer {route.api_key}"},
        )
    assert (answer.status_code == 200) == begun
    assert answer.headers["content-type"].startswith("text/event-stream") == begun
    error = answer.text.removeprefix("data: ") if begun else answer.text
    assert "the connection broke" in json.loads(error)["error"]["message"]


async def test_attempts_at_once_are_not_mixed_up() -> None:
    async def attempt(gateway: Gateway, number: int) -> Recorder:
        recorder = Recorder(ScriptedBackend(ECHO), adder(), number)
        async with gateway.route(recorder) as route, client_of(route) as client:
            asked = (client.chat.completions.create(model="m", messages=say(f"{number}-{i}")) for i in range(4))
            await asyncio.gather(*asked)
        return recorder

    async with Gateway() as gateway:
        recorders = await asyncio.gather(*(attempt(gateway, number) for number in range(16)))
    for number, recorder in enumerate(recorders):
        said = sorted(call.messages[0]["content"] for call in recorder.trace().model_calls)
        assert said == [f"{number}-{i}" for i in range(4)]


async def test_a_tool_that_the_framework_ran_is_seen_once() -> None:
    asked = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"city": "Rome"}'}}
    history = [
        *say("weather?"),
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    async with opened() as (_, route, recorder), client_of(route) as client:
        for messages in (say("weather?"), history, [*history, *say("and then?")]):
            await client.chat.completions.create(model="m", messages=messages)
    trace = recorder.trace()
    [call] = trace.tool_calls
    assert (call.name, dict(call.arguments), call.result) == ("look_up", {"city": "Rome"}, "sunny")
    assert [type(step).__name__ for step in trace.steps] == ["ModelCall", "ToolCall", "ModelCall", "ModelCall"]


async def test_a_result_s_call_lasts_from_the_reply_that_asked_to_the_request_that_brings_it() -> None:
    async with opened() as (_, route, recorder), client_of(route) as client:
        first = await client.chat.completions.create(model="m", messages=say("add"))
        await client.chat.completions.create(model="m", messages=say("something else meanwhile"))
        asked = first.choices[0].message.to_dict()
        result = {"role": "tool", "tool_call_id": "call_0", "content": "5"}
        await client.chat.completions.create(model="m", messages=[*say("add"), asked, result])  # type: ignore[list-item]
    trace = recorder.trace()
    [call] = trace.tool_calls
    asking, other, bringing = trace.model_calls
    assert call.started_at == asking.ended_at < other.sent_at
    assert other.ended_at < call.ended_at <= bringing.sent_at


def told(*results: str) -> list[Any]:
    """A conversation in which the model asked for `add` once for each result, always by the same id."""
    asked = {"id": "call_0", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
    steps = (
        ({"role": "assistant", "tool_calls": [asked]}, {"role": "tool", "tool_call_id": "call_0", "content": result})
        for result in results
    )
    return [*say("count"), *(message for pair in steps for message in pair)]


async def test_a_conversation_that_is_sent_again_in_a_later_turn_brings_only_what_is_new() -> None:
    recorder = Recorder(ScriptedBackend(ECHO), adder(), 7)
    async with Gateway() as gateway:
        for conversation in (told("3"), told("3", "4")):
            async with gateway.route(recorder) as route, client_of(route) as client:
                await client.chat.completions.create(model="m", messages=conversation)
    assert [call.result for call in recorder.trace().tool_calls] == ["3", "4"]


@pytest.mark.parametrize("call_id", ["", "call_0"])
async def test_a_call_made_with_our_tools_is_not_seen_twice(call_id: str) -> None:
    async with opened() as (_, route, recorder), client_of(route) as client:
        await recorder.call("add", {"a": 2}, call_id)
        await client.chat.completions.create(model="m", messages=told("3"))
        await client.chat.completions.create(model="m", messages=told("3", "its own"))
    ours, seen = recorder.trace().tool_calls
    assert (ours.call_id, ours.result) == (call_id, "3")
    assert (seen.call_id, seen.result) == ("call_0", "its own")


async def test_a_thread_s_calls_are_recorded_too() -> None:
    async with opened() as (_, route, recorder):

        def ask(number: int) -> str:
            with openai.OpenAI(base_url=route.base_url, api_key=route.api_key) as client:
                answer = client.chat.completions.create(model="m", messages=say(f"{number}"), stream=True)
                return "".join(chunk.choices[0].delta.content or "" for chunk in answer)

        said = await asyncio.gather(*(asyncio.to_thread(ask, number) for number in range(4)))
    assert said == ["hello there world"] * 4
    assert sorted(call.messages[0]["content"] for call in recorder.trace().model_calls) == ["0", "1", "2", "3"]


async def test_what_a_request_has_beside_the_known_goes_to_the_server() -> None:
    backend = SayBackend("yes")
    async with opened(backend) as (_, route, _recorder), client_of(route) as client:
        await client.chat.completions.create(
            model="another", messages=say("hi"), max_completion_tokens=9, stop="x", extra_body={"min_p": 0.1}
        )
    [request] = backend.requests
    assert request.extra == {"max_completion_tokens": 9, "min_p": 0.1}
    assert (request.stop, request.seed) == (("x",), 7)


async def test_a_body_over_the_limit_is_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentbench.gateway.app.BODY_LIMIT", 100)
    async with opened() as (_, route, recorder), client_of(route) as client:
        with pytest.raises(openai.APIStatusError, match="over 100 bytes") as caught:
            await client.chat.completions.create(model="m", messages=say("x" * 200))
    assert caught.value.status_code == 413
    assert recorder.trace().steps == ()


async def test_a_failing_server_is_502_and_recorded() -> None:
    async with opened() as (_, route, recorder), client_of(route) as client:
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError, match="it is down"):
                await client.chat.completions.create(model="m", messages=say("down"), stream=stream)
    assert [call.error for call in recorder.trace().model_calls] == ["it is down", "it is down"]
    assert recorder.broken is not None
    assert recorder.broken.kind == "infra"


async def test_a_refusal_of_the_server_passes_through() -> None:
    class Refusing(ScriptedBackend):
        async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
            raise ServerRefused(422, "max_tokens is too large")

    async with opened(Refusing(ECHO)) as (_, route, _recorder), client_of(route) as client:
        with pytest.raises(openai.UnprocessableEntityError, match="max_tokens is too large"):
            await client.chat.completions.create(model="m", messages=say("hi"))


async def test_a_limit_is_429_and_not_to_be_tried_again() -> None:
    async with opened(model_calls=1) as (_, route, recorder), client_of(route) as client:
        await client.chat.completions.create(model="m", messages=say("hi"))
        with pytest.raises(openai.RateLimitError, match=r"run\.limits\.model_calls=1") as caught:
            await client.chat.completions.create(model="m", messages=say("hi"))
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert recorder.broken is not None
    assert recorder.broken.kind == "budget"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "not an object"),
        (b"{}", "messages: expected"),
        (b'{"messages": "hi"}', "messages: expected"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "temperature": NaN}', "NaN is no JSON number"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "x": {"y": [-Infinity]}}', "-Infinity is no JSON number"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "temperature": 1e999}', "1e999 is no JSON number"),
        (b'{"messages": [{"role": "assistant", "tool_calls": "look"}]}', "messages[0].tool_calls: expected calls"),
        (b'{"messages": [{"role": "assistant", "tool_calls": [5]}]}', "messages[0].tool_calls: expected calls"),
        (b'{"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}', "messages[0].tool_calls: expected"),
        (b'{"messages": [{"tool_calls": [{"function": {"name": 5}}]}]}', "messages[0].tool_calls: expected"),
        (b'{"messages": [{"tool_calls": [{"function": {"name": "f", "arguments": 5}}]}]}', "messages[0].tool_calls"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "n": 2}', "n = 2"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "stop": 5}', "stop: expected"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "stop": ["a", 5]}', "stop: expected"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "x"}]}', "tools: expected"),
    ],
)
async def test_what_is_no_request_is_told_why(content: bytes, said: str) -> None:
    async with opened() as (_, route, recorder), httpx.AsyncClient() as http:
        url, headers = f"{route.base_url}/chat/completions", {"authorization": f"Bearer {route.api_key}"}
        answer = await http.post(url, content=content, headers=headers)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert recorder.trace().steps == ()


async def test_only_the_attempt_itself_may_ask_and_only_while_it_lasts() -> None:
    async with Gateway() as gateway, httpx.AsyncClient() as http:
        recorder = Recorder(ScriptedBackend(ECHO), adder(), 7)
        async with gateway.route(recorder) as route:
            headers = {"authorization": f"Bearer {route.api_key}"}
            assert (await http.get(f"{route.base_url}/models", headers=headers)).json()["data"][0]["id"] == route.model
            assert (await http.get(f"{route.base_url}/models/gpt", headers=headers)).json()["id"] == "gpt"
            assert (await http.get(f"{route.base_url}/models")).status_code == 401
            assert (await http.post(f"{route.base_url}/embeddings", headers=headers)).status_code == 404
            assert (await http.get(f"{route.base_url}/chat/completions", headers=headers)).status_code == 405
        assert (await http.get(f"{route.base_url}/models", headers=headers)).status_code == 410


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/{token}/models", 200),
        ("GET", "/{token}/v1/models/", 200),
        ("GET", "//{token}/v1/models", 200),
        ("GET", "/{token}/v1/models/org/name", 200),
        ("HEAD", "/{token}/v1/chat/completions", 405),
        ("OPTIONS", "/{token}/v1/chat/completions", 405),
        ("POST", "/{token}/v1/models", 404),
        ("GET", "/{token}/v1/mod%0Aels", 404),
        ("GET", "/{token}", 404),
        ("GET", "/%0A", 410),
        ("GET", "/", 410),
        ("GET", "/{token}x/v1/models", 410),
    ],
)
async def test_an_odd_path_is_answered_in_json_as_the_plain_one(method: str, path: str, status: int) -> None:
    async with opened() as (_, route, _), httpx.AsyncClient() as http:
        url = route.origin + path.replace("{token}", route.token)
        answer = await http.request(method, url, headers={"authorization": f"Bearer {route.api_key}"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert method == "HEAD" or ("error" in answer.json()) == (status != 200)


async def test_a_client_that_goes_away_in_its_request_asks_for_nothing() -> None:
    async with opened() as (_, route, recorder):
        _, writer = await asyncio.open_connection("127.0.0.1", int(route.origin.rpartition(":")[2]))
        path, key = f"/{route.token}/v1/chat/completions", f"Authorization: Bearer {route.api_key}"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\n{key}\r\nContent-Length: 100\r\n\r\n{{".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert recorder.trace().steps == ()


async def test_a_client_that_goes_away_ends_its_call() -> None:
    class Waiting(ScriptedBackend):
        began = asyncio.Event()
        ended = asyncio.Event()

        async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
            self.began.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.set()
            raise AssertionError

    backend = Waiting(ECHO)
    async with opened(backend) as (_, route, recorder):
        async with client_of(route) as client:
            asking = asyncio.create_task(client.chat.completions.create(model="m", messages=say("hi")))
            await backend.began.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await asyncio.wait_for(backend.ended.wait(), 10)
    [call] = recorder.trace().model_calls
    assert call.error is not None
    assert call.error.startswith("cancelled")


async def test_an_attempt_that_ends_takes_its_calls_with_it() -> None:
    class Waiting(ScriptedBackend):
        began = asyncio.Event()

        async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
            self.began.set()
            await asyncio.Event().wait()
            raise AssertionError

    backend = Waiting(ECHO)
    async with Gateway() as gateway:
        recorder = Recorder(backend, adder(), 7)
        async with gateway.route(recorder) as route:
            client = client_of(route)
            asking = asyncio.create_task(client.chat.completions.create(model="m", messages=say("hi")))
            await backend.began.wait()
        with pytest.raises(openai.APIStatusError) as caught:
            await asking
        assert caught.value.status_code == 410
        await client.close()
    assert len(recorder.trace().model_calls) == 1


@pytest.fixture(scope="module")
def chat_url() -> Iterator[str]:
    with chat_server() as url:
        yield url


@asynccontextmanager
async def before(url: str) -> AsyncIterator[tuple[openai.AsyncOpenAI, Recorder]]:
    """A client of a gateway before the server at `url`."""
    backend = OpenAIHttpBackend(OpenAIHttpConfig(), Endpoint(base_url=url, model="m"))
    try:
        async with opened(backend) as (_, route, recorder), client_of(route) as client:
            yield client, recorder
    finally:
        await backend.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_in_one_piece_is_what_was_asked_for(chat_url: str, stream: bool) -> None:
    async with before(chat_url) as (client, recorder):
        answer = await client.chat.completions.create(model="any", messages=say("whole"), stream=stream)
        if isinstance(answer, openai.AsyncStream):
            said = "".join([chunk.choices[0].delta.content or "" async for chunk in answer])
        else:
            said = answer.choices[0].message.content or ""
    assert said == recorder.trace().model_calls[0].text == "hello world"


async def test_calls_that_a_server_numbers_wrongly_are_seen_as_they_are_recorded(chat_url: str) -> None:
    async with before(chat_url) as (client, recorder):
        async with client.chat.completions.stream(model="any", messages=say("unnumbered")) as stream:
            seen = (await stream.get_final_completion()).choices[0].message.tool_calls
        whole = (await client.chat.completions.create(model="any", messages=say("unnumbered"))).choices[0].message
    wanted = [("call_1", '{"n": 1}'), ("call_2", '{"n": 2}')]
    assert [(call.id, call.function.arguments) for call in seen or ()] == wanted
    assert [(call.id, call.function.arguments) for call in whole.tool_calls or ()] == wanted  # type: ignore[union-attr]
    for call in recorder.trace().model_calls:
        assert [each["id"] for each in call.reply["tool_calls"]] == ["call_1", "call_2"]


async def test_a_busy_server_s_status_and_wait_are_passed_on() -> None:
    class Busy(ScriptedBackend):
        async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
            raise ServerRefused(429, "slow down", 2.5)

    async with opened(Busy(ECHO)) as (_, route, recorder), client_of(route) as client:
        with pytest.raises(openai.RateLimitError, match="slow down") as caught:
            await client.chat.completions.create(model="m", messages=say("hi"))
    assert caught.value.response.headers["retry-after"] == "2.5"
    assert "x-should-retry" not in caught.value.response.headers
    assert recorder.broken is not None
    assert recorder.broken.kind == "infra"


async def test_a_gateway_whose_opening_is_cancelled_leaves_nothing_open() -> None:
    gateway = Gateway()
    opening = asyncio.create_task(gateway.__aenter__())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert gateway._serving is not None
    assert gateway._serving.done()
    assert gateway._server is not None
    assert not any(server.is_serving() for server in gateway._server.servers)
