"""Invalid bodies and schemas, too large or too deep ones included, are refused with OpenAI's errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.openai.bodies import ChatBody, CompletionBody
from serving.openai.error import ApiError
from serving.openai.schema_limits import MAX_DEPTH as MAX_SCHEMA_DEPTH
from serving.openai.schema_limits import MAX_LITERAL, MAX_PROPERTIES, check_schemas
from serving.openai.validation import MAX_CONTAINERS, MAX_DEPTH, parse, parse_object
from tests.serving.fake_engine import FakeEngine
from tests.serving.http_client import CHAT, HELLO, HTTP, app_of, client_of, post

DIGITS = b"1" * 5000


def chat_with(content: bytes) -> bytes:
    """A request whose message has this JSON as its content."""
    return b'{"model":"m","messages":[{"role":"user","content":%s}]}' % content


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[]", "must be a JSON object, not list"),
        (b"5", "must be a JSON object, not int"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (chat_with(b'"\xff"'), "byte 51 is not UTF-8"),
        (chat_with(b'"\xed\xa0\x80"'), "byte 51 is not UTF-8"),
        ('{"model":"m"}'.encode("utf-16"), "byte 0 is not UTF-8"),
        (chat_with(b'"\\ud800"'), "unpaired surrogate"),
        (b'{"\\uDFFF": 1}', "unpaired surrogate"),
        (chat_with(b'"a\nb"'), "Invalid control character"),
        (b'{"temperature": NaN}', "NaN is not a JSON number"),
        (b'{"temperature": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"temperature": 1e999}', "1e999 is out of range"),
        (b'{"seed": %s}' % DIGITS, "integer string conversion"),
        (b'{"model":"a","model":"b"}', "the key 'model' occurs more than once"),
        (b'{"messages":[{"role":"user","role":"system"}]}', "the key 'role' occurs more than once"),
        (b"[" * 100_000, "nested more than 128 deep|recursion"),
        (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", f"nested more than {MAX_DEPTH} deep"),
        (b'{"a":[' + b"[]," * MAX_CONTAINERS + b"[]]}", f"more than {MAX_CONTAINERS} lists and objects"),
    ],
)
async def test_invalid_json_is_refused(body: bytes, reason: str) -> None:
    response = await post(FakeEngine("a"), body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "invalid_json")
    assert any(part in error["message"] for part in reason.split("|")), error["message"]
    assert len(error["message"]) < 400


def test_brackets_in_a_string_are_no_lists() -> None:
    text = "[" * (MAX_CONTAINERS + 1) + '\\"{'
    assert parse_object(json.dumps({"prompt": text}).encode()) == {"prompt": text}


@pytest.mark.parametrize("body", [{"best_of": True}, {"echo": 0}])
def test_a_neutral_value_of_another_type_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ApiError, match="is not supported by this server"):
        parse(json.dumps({"model": "m", "prompt": "a", **body}).encode(), CompletionBody)


@pytest.mark.parametrize("text", ["\\u0000", "\\ud83d\\ude00", "\\\\ud800", "é", "\\u2028"])
async def test_unusual_but_valid_strings_are_accepted(text: str) -> None:
    assert (await post(FakeEngine("a"), chat_with(f'"{text}"'.encode()))).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 10**40},
        {"top_k": 10**40},
        {"seed": 10**40},
        {"temperature": 10**300},
        {"x" * 200_000: 1},
        {"messages": [5] * 200_000},
        {"messages": "x" * 200_000},
        {"stop": ["x"] * 100_000},
        {"logit_bias": {str(token): 1 for token in range(20_000)}},
        {"model": "x" * 200_000},
        {"response_format": {"type": "x" * 100_000}},
    ],
)
async def test_huge_values_are_refused_and_not_repeated(change: dict[str, Any]) -> None:
    response = await post(FakeEngine("a"), {**HELLO, **change})
    assert response.status_code in (400, 404)
    assert len(response.text) < 700


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values))
def test_every_json_object_is_parsed_as_json_loads_does(body: dict[str, Any]) -> None:
    try:
        raw = json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        with pytest.raises(ApiError, match="surrogate"):
            parse_object(json.dumps(body).encode())
        return
    assert parse_object(raw) == json.loads(raw)


def object_or_error(raw: bytes) -> dict[str, Any] | ApiError:
    try:
        return parse_object(raw)
    except ApiError as error:
        return error


def body_or_error(raw: bytes, model: Any) -> Any:
    try:
        return parse(raw, model)
    except ApiError as error:
        return error


@given(st.binary())
def test_any_bytes_are_an_object_or_an_api_error(raw: bytes) -> None:
    outcome = object_or_error(raw)
    assert isinstance(outcome, dict) or outcome.status == 400


FIELDS = sorted({*ChatBody.model_fields, *CompletionBody.model_fields, "best_of", "echo", "suffix", "user"})


@given(st.sampled_from([ChatBody, CompletionBody]), st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5))
def test_any_parameters_are_a_body_or_an_api_error(model: Any, change: dict[str, Any]) -> None:
    body = {**HELLO, "prompt": "x", **change}
    body.pop("messages" if model is CompletionBody and "messages" not in change else "prompt", None)
    outcome = body_or_error(json.dumps(body).encode(), model)
    assert isinstance(outcome, model) or (outcome.status == 400 and len(outcome.message) < 1000)


async def in_pieces(size: int, read: list[int]) -> AsyncIterator[bytes]:
    for _ in range(size):
        read.append(1)
        yield b" " * 1000


async def test_a_body_over_the_limit_is_413() -> None:
    response = await post(FakeEngine("a"), b" " * (HTTP.max_body_bytes + 1))
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (413, "request_too_large")
    assert "1000000 bytes (max_body_bytes)" in error["message"]


async def test_a_body_of_unknown_length_is_refused_above_the_limit() -> None:
    read: list[int] = []
    async with client_of(app_of(FakeEngine("a"))) as client:
        response = await client.post(CHAT, content=in_pieces(5000, read))
    assert response.status_code == 413


async def test_a_body_that_does_not_arrive_is_408() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [], "query_string": b""}
    app = app_of(FakeEngine("a"), config=HTTP.model_copy(update={"request_timeout_s": 0.01}))
    await asyncio.wait_for(app(scope, receive, send), 5)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def chain(length: int) -> dict[str, Any]:
    """A schema of `length` definitions, each with a reference to the next."""
    links: dict[str, Any] = {
        f"d{i}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(length)
    }
    return {"$defs": {**links, f"d{length}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


NODE = {"$ref": "#/$defs/node"}


def linked(following: dict[str, Any]) -> dict[str, Any]:
    """A schema of nodes, each of which requires a property `next` that fits `following`."""
    node = {"type": "object", "properties": {"next": following}, "required": ["next"]}
    other = {
        "type": "object",
        "properties": {"size": {"type": "integer"}, "first": NODE},
        "required": ["size", "first"],
    }
    return {"$defs": {"leaf": {"const": 0}, "node": node}, "anyOf": [other, NODE]}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"properties": {f"p{i}": {} for i in range(MAX_PROPERTIES + 1)}}, "1001 properties"),
        ({"anyOf": [{"const": i} for i in range(2000)]}, "2000 anyOf"),
        ({"const": "x" * 5000}, f"at most {MAX_LITERAL} are allowed"),
        ({"enum": ["a", "x" * 5000]}, "characters in one literal"),
        ({"type": "string", "pattern": "(a|b)" * 2000}, "characters in one literal"),
        ({"properties": {"x" * 5000: {}}}, "characters in one literal"),
        ({"const": 2**53 + 1}, "const has 9007199254740993; integers beyond"),
        ({"enum": ["a", {"deep": [-(2**60)]}]}, "enum has -1152921504606846976"),
        ({"type": "integer", "minimum": 2**63}, "minimum has"),
        ({"type": "integer", "exclusiveMaximum": 2**64}, "exclusiveMaximum has"),
        ({"const": {"deep": "a\x00b"}}, "const has a control character"),
        ({"type": "string", "pattern": r"^a\x0bb$"}, "pattern has a control character"),
        ({"patternProperties": {"^\x7f": {}}}, "patternProperties has a control character"),
        ({"type": "object", "minProperties": 2}, "minProperties: 2 can't be enforced if names are allowed that are"),
        ({"enum": ["abcdefgh"] * 40_000}, "more than 262144 bytes"),
        (chain(2000), f"at most {MAX_SCHEMA_DEPTH} are allowed"),
        ({"$ref": "#"}, "a value of # never ends"),
        (linked(NODE), "a value of #/$defs/node never ends"),
        (
            linked({"anyOf": [NODE, {"type": "array", "items": NODE, "minItems": 1}]}),
            "a value of #/$defs/node never ends",
        ),
        (linked({"oneOf": [{"type": "object", "additionalProperties": NODE, "required": ["x"]}, NODE]}), "never ends"),
        (linked({"allOf": [{"type": "object"}, NODE]}), "a value of #/$defs/node never ends"),
        (
            linked(
                {
                    "type": ["array", "object"],
                    "prefixItems": [{}, NODE],
                    "minItems": 2,
                    "required": ["x"],
                    "properties": {"x": NODE},
                }
            ),
            "never ends",
        ),
        (deep(300), "nested more than"),
        ({"type": "string", "pattern": "(" * 3000 + ")" * 3000}, "characters in one literal|regex"),
    ],
)
@pytest.mark.parametrize("place", ["response_format", "tools"])
async def test_a_schema_beyond_the_limits_is_refused(schema: dict[str, Any], reason: str, place: str) -> None:
    function = {"name": "f", "parameters": schema, "strict": True}
    places: dict[str, Any] = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
        "tools": [{"type": "function", "function": function}],
    }
    choice = {"tool_choice": "required"} if place == "tools" else {}
    response = await post(FakeEngine("a"), {**HELLO, place: places[place], **choice})
    assert response.status_code == 400, response.text
    message = response.json()["error"]["message"]
    assert any(part in message for part in reason.split("|")), message
    assert len(message) < 500


@pytest.mark.parametrize(
    "following",
    [
        {"anyOf": [NODE, {"type": "null"}]},
        {"type": "array", "items": NODE},
        {"type": "array", "prefixItems": [{"type": "integer"}, NODE], "minItems": 1},
        {"type": ["object", "null"], "properties": {"x": NODE}, "required": ["x"]},
        {"type": "object", "properties": {"x": NODE}},
        {"anyOf": [{"type": "object", "properties": {"x": NODE}, "required": ["x"]}, {"$ref": "#/$defs/leaf"}]},
    ],
)
def test_a_recursive_schema_with_finite_values_is_accepted(following: dict[str, Any]) -> None:
    check_schemas([linked(following)], "tools")


@pytest.mark.parametrize("schema", [chain(100), deep(50), {"enum": [f"value {i}" for i in range(5000)]}])
async def test_ordinary_schemas_are_within_the_limits(schema: dict[str, Any]) -> None:
    answer_format = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    response = await post(FakeEngine("a"), {**HELLO, "response_format": answer_format})
    assert response.status_code == 200, response.text


def test_all_tools_together_are_within_one_limit() -> None:
    one = {"properties": {f"p{i}": {"description": "x" * 100} for i in range(900)}}
    check_schemas([one] * 2, "tools")
    with pytest.raises(ApiError, match="more than 262144 bytes"):
        check_schemas([one] * 3, "tools")


@pytest.mark.parametrize("reference", ["#/$defs/a~1b", "#/$defs/a%2Fb", "#nowhere", "other.json", "#/x/9"])
def test_the_target_of_a_reference_adds_to_the_depth(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that can't be resolved counts as the depth of the whole schema."""
    schema = {"$defs": {"a/b": deep(20), "flat": {}}, "anyOf": [{"$ref": reference}]}
    shallow = {**schema, "anyOf": [{"$ref": "#/$defs/flat"}]}
    own_depth = next(most for most in range(1, 200) if within(shallow, most, monkeypatch)) - 2
    assert not within(schema, own_depth + 10, monkeypatch)
    assert within(schema, 3 * own_depth, monkeypatch)


def within(schema: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr("serving.openai.schema_limits.MAX_DEPTH", most)
    try:
        check_schemas([schema], "tools")
    except ApiError:
        return False
    return True


async def test_compiling_a_schema_does_not_block_other_requests() -> None:
    """The compiler runs in a thread and releases the GIL."""
    large = {"properties": {f"p{i}": {"type": "integer"} for i in range(MAX_PROPERTIES)}}
    body = {**HELLO, "response_format": {"type": "json_schema", "json_schema": {"schema": large}}}
    async with client_of(app_of(FakeEngine("a"))) as client:
        slow = asyncio.ensure_future(client.post(CHAT, json=body))
        while not slow.done():
            assert (await client.get("/health")).status_code == 200
            await asyncio.sleep(0)
        assert slow.result().status_code == 200
