"""OpenAI's client gets tool calls from three models of the hub, in one response and in a stream."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jsonschema
import openai
import pytest
from openai import AsyncOpenAI

from agentbench.hub import cached
from tests.serving.server_process import ServerProcess, running_server

pytestmark = [pytest.mark.model, pytest.mark.slow]

NAMES = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct")
OPTIONS = ("--served-model-name", "m", "--max-model-len", "2048", "--quantization", "auto")
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": description, "parameters": CITY}}
    for name, description in (("get_weather", "The weather in a city."), ("get_time", "The local time in a city."))
]
NAMED: Any = {"type": "function", "function": {"name": "get_time"}}

Call = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[ServerProcess]:
    [state] = [each for each in cached() if each.name == name]
    if not state.pulled:
        pytest.skip(f"model {name!r} is not pulled; run: agentbench pull {name}")
    with running_server(state.path, *OPTIONS) as process:
        yield process
        assert process.stop() == 0


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0, timeout=300) as client:
        yield client


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def shown(*cities: str) -> list[dict[str, Any]]:
    """A turn that shows the model what to do: a call for each city in one answer."""
    functions = [{"name": "get_weather", "arguments": json.dumps({"city": city})} for city in cities]
    calls = [
        {"id": f"call_{city}", "type": "function", "function": f} for city, f in zip(cities, functions, strict=True)
    ]
    return [user(f"What is the weather in {' and '.join(cities)}?"), {"role": "assistant", "tool_calls": calls}]


PARIS: Call = ("get_weather", {"city": "Paris"})
BERLIN: Call = ("get_weather", {"city": "Berlin"})
SHOWN_ONE = [*shown("Rome"), *shown("Oslo"), user("What is the weather in Paris?")]
ONE = {
    "smollm2-135m-instruct": SHOWN_ONE,
    "qwen2.5-coder-0.5b-instruct": SHOWN_ONE,
    "qwen2.5-coder-1.5b-instruct": [user("What is the weather in Paris?")],
}
"""What each model is asked for one call: the smaller ones need examples."""
SHOWN_TWO = [*shown("Rome", "Oslo"), *shown("Lima", "Cairo"), user("What is the weather in Paris and Berlin?")]
ASKED_TWO = [user("Call get_weather twice in one answer: once for Paris, and once for Berlin.")]
TWO = {
    "smollm2-135m-instruct": (SHOWN_TWO, [PARIS, BERLIN]),
    "qwen2.5-coder-0.5b-instruct": (ASKED_TWO, [PARIS]),
    "qwen2.5-coder-1.5b-instruct": (ASKED_TWO, [PARIS, BERLIN]),
}
"""What each model is asked for two calls, and those that it makes: the smallest follows examples alone; the one of
0.5 B makes one call."""


async def answer(client: AsyncOpenAI, messages: list[dict[str, Any]], stream: bool, **options: Any) -> Any:
    """The only choice, which the client has put together where it is streamed."""
    request: Any = {"model": "m", "messages": messages, "tools": TOOLS, "temperature": 0, "max_tokens": 120, **options}
    if not stream:
        return (await client.chat.completions.create(**request)).choices[0]
    async with client.chat.completions.stream(**request) as events:
        async for _ in events:
            pass
        try:
            return (await events.get_final_completion()).choices[0]
        except openai.LengthFinishReasonError as cut:
            return cut.completion.choices[0]


def calls_in(choice: Any) -> list[Call]:
    """Its calls, each of an offered tool and with arguments that fit; an answer with a call has nothing else."""
    found = choice.message.tool_calls or []
    assert choice.finish_reason == ("tool_calls" if found else "stop")
    assert not (found and choice.message.content)
    assert len({call.id for call in found}) == len(found)
    for call in found:
        assert call.id
        assert call.type == "function"
        assert call.function.name in ("get_weather", "get_time")
        jsonschema.validate(json.loads(call.function.arguments), CITY)
    return [(call.function.name, json.loads(call.function.arguments)) for call in found]


@pytest.mark.parametrize("stream", [False, True])
async def test_auto_calls_the_tool(client: AsyncOpenAI, name: str, stream: bool) -> None:
    assert calls_in(await answer(client, ONE[name], stream)) == [PARIS]


@pytest.mark.parametrize("stream", [False, True])
async def test_required_is_one_call(client: AsyncOpenAI, stream: bool) -> None:
    question = [user("What is the weather in Paris?")]
    [(_, arguments)] = calls_in(await answer(client, question, stream, tool_choice="required"))
    assert arguments == {"city": "Paris"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_named_tool_is_called_though_another_fits_better(client: AsyncOpenAI, stream: bool) -> None:
    question = [user("What is the weather in Paris?")]
    assert calls_in(await answer(client, question, stream, tool_choice=NAMED)) == [("get_time", {"city": "Paris"})]


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_in_parallel(client: AsyncOpenAI, name: str, stream: bool) -> None:
    messages, expected = TWO[name]
    assert calls_in(await answer(client, messages, stream)) == expected


@pytest.mark.parametrize("stream", [False, True])
async def test_one_call_where_parallel_ones_are_forbidden(client: AsyncOpenAI, name: str, stream: bool) -> None:
    messages, _ = TWO[name]
    assert calls_in(await answer(client, messages, stream, parallel_tool_calls=False)) == [PARIS]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("question", ["Say hello.", "What is the weather in Paris?", "Weather and time in Paris?"])
async def test_without_an_example_a_text_is_never_a_broken_call(
    client: AsyncOpenAI, question: str, stream: bool
) -> None:
    """A small model answers in words where a larger one calls; either is whole."""
    choice = await answer(client, [user(question)], stream, max_tokens=200)
    if choice.finish_reason == "length":
        assert not choice.message.tool_calls
        return
    if not calls_in(choice):
        assert choice.message.content
        assert "tool_call>" not in choice.message.content
        # A call of a tool that is not offered is text.
        names_a_tool = any(f'"{tool["function"]["name"]}"' in choice.message.content for tool in TOOLS)
        assert not (names_a_tool and '"arguments"' in choice.message.content)
