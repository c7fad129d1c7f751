"""A server process with the default model, used through OpenAI's client."""

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import openai
import pytest
from openai import AsyncOpenAI

from tests.serving.openai.json_schemas import schema
from tests.serving.server_process import ServerProcess, running_server

pytestmark = pytest.mark.model

HELLO: Any = [{"role": "user", "content": "Say hello."}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather.get",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}},
            "required": ["city"],
        },
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
ASK: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
AT_ONCE = 32


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[ServerProcess]:
    with running_server(model_path, "--served-model-name", "small", "--max-model-len", "2048") as process:
        yield process
        assert process.stop() == 0


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0, timeout=120) as client:
        yield client


async def test_models(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["small"]
    assert (await client.models.retrieve("small")).id == "small"


async def test_chat(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="small", messages=HELLO, max_tokens=16, temperature=0)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_a_stream_has_the_same_text_as_one_response(client: AsyncOpenAI) -> None:
    request: Any = {"model": "small", "messages": HELLO, "max_tokens": 24, "temperature": 0, "stop": ["."]}
    response = await client.chat.completions.create(**request)
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    stream: Any = await client.chat.completions.create(**request, stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert text == response.choices[0].message.content
    assert "." not in text
    assert counts == sorted(counts)
    assert response.usage is not None
    assert chunks[-1].usage.model_dump() == response.usage.model_dump()


async def test_a_seed_reproduces_the_answer(client: AsyncOpenAI) -> None:
    request: Any = {"model": "small", "messages": HELLO, "max_tokens": 12, "temperature": 1.0, "seed": 11}
    first, second = [await client.chat.completions.create(**request) for _ in range(2)]
    assert first.choices[0].message.content == second.choices[0].message.content


async def test_answers_to_one_prompt(client: AsyncOpenAI) -> None:
    """Answer i equals the answer of a single request with the seed plus i. The prompt's tokens count once."""
    request: Any = {"model": "small", "messages": HELLO, "max_tokens": 12, "temperature": 1.0}
    several = await client.chat.completions.create(**request, seed=11, n=3)
    alone = [await client.chat.completions.create(**request, seed=11 + i) for i in range(3)]
    texts = [choice.message.content for choice in several.choices]
    assert texts == [answer.choices[0].message.content for answer in alone]
    assert len(set(texts)) > 1
    assert several.usage is not None
    assert several.usage.completion_tokens == sum(answer.usage.completion_tokens for answer in alone if answer.usage)
    assert several.usage.prompt_tokens == alone[0].usage.prompt_tokens if alone[0].usage else False
    stream: Any = await client.chat.completions.create(**request, seed=11, n=3, stream=True)
    streamed = [""] * 3
    async for chunk in stream:
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts


async def test_several_answers_that_a_grammar_forces_completely_all_end(client: AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"const": "b"}}, "required": ["a"], "additionalProperties": False}
    answer = await client.chat.completions.create(
        model="small",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
        n=2,
        timeout=60,
    )
    assert [json.loads(choice.message.content or "") for choice in answer.choices] == [{"a": "b"}] * 2


async def test_logprobs_of_a_chat(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="small", messages=HELLO, max_tokens=12, temperature=0, logprobs=True, top_logprobs=5
    )
    [choice] = answer.choices
    assert choice.logprobs is not None
    entries = choice.logprobs.content or []
    assert answer.usage is not None
    assert len(entries) == answer.usage.completion_tokens
    assert "".join(entry.token for entry in entries).removesuffix("<|im_end|>") == choice.message.content
    for entry in entries:
        assert entry.token == entry.top_logprobs[0].token  # greedy
        likely = [alternative.logprob for alternative in entry.top_logprobs]
        assert likely == sorted(likely, reverse=True)
        assert sum(map(math.exp, likely)) <= 1.0001


async def test_logprobs_of_a_completion(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model="small", prompt="1, 2, 3,", max_tokens=8, temperature=0, logprobs=2, extra_body={"ignore_eos": True}
    )
    [choice] = answer.choices
    assert choice.logprobs is not None
    tokens, offsets = choice.logprobs.tokens or [], choice.logprobs.text_offset or []
    assert "".join(tokens) == choice.text
    assert all(choice.text[offset:].startswith(token) for token, offset in zip(tokens, offsets, strict=True))
    assert [len(top) for top in choice.logprobs.top_logprobs or []] == [2] * len(tokens)


async def tokens_of(client: AsyncOpenAI, **more: Any) -> list[str]:
    extra = {"ignore_eos": True, **more.pop("extra_body", {})}
    request: Any = {"model": "small", "prompt": "la la la la", "max_tokens": 24, "temperature": 0, "logprobs": 0}
    answer = await client.completions.create(**request, **more, extra_body=extra)
    assert answer.choices[0].logprobs is not None
    return answer.choices[0].logprobs.tokens or []


@pytest.mark.parametrize(
    "penalty",
    [{"frequency_penalty": 2}, {"presence_penalty": 2}, {"extra_body": {"repetition_penalty": 1.5}}],
)
async def test_a_penalty_makes_answers_repeat_less(client: AsyncOpenAI, penalty: Any) -> None:
    plain, penalized = await tokens_of(client), await tokens_of(client, **penalty)
    assert len(set(penalized)) > len(set(plain))


async def test_a_bias_forces_and_forbids_tokens(client: AsyncOpenAI) -> None:
    five, six = [set(await tokens_of(client, logit_bias={token: 100})) for token in ("5", "6")]
    assert (len(five), len(six)) == (1, 1)
    assert set(await tokens_of(client, logit_bias={"5": 100, "6": 100})) <= five | six
    assert set(await tokens_of(client, logit_bias={"5": -100, "6": 100})) == six


async def test_min_p_of_one_takes_the_likeliest(client: AsyncOpenAI) -> None:
    """Several tokens may be likeliest, since bfloat16 logits are often equal."""
    request: Any = {"model": "small", "messages": HELLO, "max_tokens": 12, "logprobs": True, "top_logprobs": 1}
    sampled = await client.chat.completions.create(**request, temperature=2, seed=1, extra_body={"min_p": 1})
    assert sampled.choices[0].logprobs is not None
    entries = sampled.choices[0].logprobs.content or []
    assert entries
    assert all(entry.logprob == entry.top_logprobs[0].logprob for entry in entries)


async def test_the_models_numbers_and_the_servers_metrics(server: ServerProcess, client: AsyncOpenAI) -> None:
    architecture = (await client.models.retrieve("small")).to_dict()["architecture"]
    assert isinstance(architecture, dict)
    expected = {"num_parameters", "weight_bytes_per_step", "kv_bytes_per_token", "num_layers", "hidden_size"}
    assert expected <= architecture.keys()
    assert architecture["max_model_len"] == 2048
    async with httpx2.AsyncClient() as http:
        text = (await http.get(server.base_url.removesuffix("v1") + "metrics")).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['serving_generation_tokens_total{model_name="small"}']) > 0


async def test_completion(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model="small", prompt="1, 2, 3, 4,", max_tokens=8, temperature=0, extra_body={"ignore_eos": True}
    )
    assert "5" in answer.choices[0].text
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("tools", [[WEATHER], [CLOCK, WEATHER]])
async def test_required_is_one_valid_call(client: AsyncOpenAI, tools: Any) -> None:
    answer = await client.chat.completions.create(
        model="small", messages=ASK, tools=tools, tool_choice="required", temperature=0, max_tokens=60
    )
    [choice] = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    [call] = choice.message.tool_calls or []
    assert call.type == "function"
    [tool] = [tool for tool in tools if tool["function"]["name"] == call.function.name]
    jsonschema.validate(json.loads(call.function.arguments), tool["function"]["parameters"])


async def test_a_named_call_streams(client: AsyncOpenAI) -> None:
    named: Any = {"type": "function", "function": {"name": "weather.get"}}
    async with client.chat.completions.stream(
        model="small", messages=ASK, tools=[CLOCK, WEATHER], tool_choice=named, temperature=0, max_tokens=60
    ) as stream:
        async for _ in stream:
            pass
        [choice] = (await stream.get_final_completion()).choices
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls or []
    assert call.function.name == "weather.get"
    jsonschema.validate(json.loads(call.function.arguments), WEATHER["function"]["parameters"])


def turn_with_call(city: str) -> Any:
    """The messages of a turn with a tool call."""
    function = {"name": "weather.get", "arguments": json.dumps({"city": city})}
    return [
        {"role": "user", "content": f"What is the weather in {city}?"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]


@pytest.mark.parametrize("parallel", [True, False])
async def test_auto_calls_where_the_model_wants_to(client: AsyncOpenAI, parallel: bool) -> None:
    messages = [turn for city in ("Rome", "Oslo", "Lima") for turn in turn_with_call(city)[:2]] + ASK
    answer = await client.chat.completions.create(
        model="small",
        messages=messages,
        tools=[WEATHER],
        parallel_tool_calls=parallel,
        max_tokens=60,
        temperature=0,
    )
    [choice] = answer.choices
    assert choice.finish_reason == "tool_calls"
    for call in choice.message.tool_calls or []:
        assert call.type == "function"
        assert call.function.name == "weather.get"
        jsonschema.validate(json.loads(call.function.arguments), WEATHER["function"]["parameters"])


async def test_auto_may_answer_with_text(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="small", messages=[*turn_with_call("Rome"), *HELLO], tools=[CLOCK], max_tokens=12, temperature=0
    )
    assert answer.choices[0].message.content
    assert answer.choices[0].message.tool_calls is None


async def test_json_object(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": "A person as JSON with name and age."}],
        response_format={"type": "json_object"},
        max_tokens=100,
        temperature=0,
    )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


@pytest.mark.parametrize("count", [50, pytest.param(200, marks=pytest.mark.slow)])
async def test_answers_fit_their_schemas(client: AsyncOpenAI, count: int) -> None:
    """Random schemas, sampled, many requests at once: every answer that ends is valid, and most end."""
    source = random.Random(0)
    schemas = [schema(source) for _ in range(count)]
    limit = asyncio.Semaphore(AT_ONCE)

    async def finish_reason(seed: int, answer_schema: dict[str, Any]) -> str:
        async with limit:
            answer = await client.chat.completions.create(
                model="small",
                messages=[{"role": "user", "content": "Answer with JSON."}],
                response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": answer_schema}},
                temperature=0.8,
                seed=seed,
                max_tokens=120,
            )
        [choice] = answer.choices
        if choice.finish_reason == "stop":
            jsonschema.validate(json.loads(choice.message.content or ""), answer_schema)
        return choice.finish_reason

    counts = Counter(await asyncio.gather(*(finish_reason(seed, each) for seed, each in enumerate(schemas))))
    assert counts["stop"] > 0.9 * count, counts
    assert set(counts) <= {"stop", "length"}


async def test_errors_are_the_exception_classes_of_openais_client(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="this server has 'small'"):
        await client.chat.completions.create(model="large", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="2048") as long:
        await client.completions.create(model="small", prompt="word " * 3000, max_tokens=1)
    assert long.value.code == "context_length_exceeded"


async def test_a_client_that_disconnects_ends_its_request(client: AsyncOpenAI, server: ServerProcess) -> None:
    long: Any = {"model": "small", "prompt": "One", "max_tokens": 2000, "extra_body": {"ignore_eos": True}}
    stream = await client.completions.create(**long, stream=True)
    await anext(aiter(stream))
    response = asyncio.ensure_future(client.completions.create(**long))
    await wait_for_running(server, 2)
    await stream.close()
    response.cancel()
    await wait_for_running(server, 0)


async def wait_for_running(server: ServerProcess, count: int) -> None:
    """Wait until the server runs `count` requests; fails after 60 s."""
    async with httpx2.AsyncClient() as http, asyncio.timeout(60):
        while (await http.get(server.base_url.removesuffix("v1") + "health")).json()["running"] != count:
            await asyncio.sleep(0)
