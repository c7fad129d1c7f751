"""`json_schema`: the shape of a JSON answer, and the first thing wrong with it."""

from typing import Any

import pytest
from pydantic import ValidationError

from agentbench.core.attempt import Score
from agentbench.core.errors import UserError
from agentbench.core.trace import Trace
from agentbench.scorers.json_answer import JsonSchemaConfig, JsonSchemaScorer
from tests.fakes import a_case

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
    "required": ["city"],
    "additionalProperties": False,
}


async def scored(output: str, **options: Any) -> Score:
    scorer = JsonSchemaScorer(JsonSchemaConfig.model_validate(options))
    return await scorer.score(a_case(expected=SCHEMA), Trace(output=output))


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ('{"city": "Rome", "days": [1]}', "valid"),
        ('{"days": [1]}', "$: 'city' is a required property"),
        ('{"city": "Rome", "days": [1, "2"]}', "$.days[1]: '2' is not of type 'integer'"),
        ("Rome", "the answer is not JSON"),
        ('{"city": NaN}', "NaN is no JSON"),
    ],
)
async def test_the_first_error_is_told(output: str, reason: str) -> None:
    score = await scored(output)
    assert reason in score.reason
    assert score.passed is (reason == "valid")


async def test_the_schema_may_be_an_option_or_a_key_of_expected() -> None:
    scorer = JsonSchemaScorer(JsonSchemaConfig())
    assert (await scorer.score(a_case(expected={"schema": {"type": "integer"}}), Trace(output="3"))).passed
    assert (await scored("3", schema={"type": "integer"})).passed
    assert not (await scored("3.5", schema={"type": "integer"})).passed


def test_an_option_that_is_no_schema_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"not a JSON Schema: \$.type: 'strng' is not valid"):
        JsonSchemaConfig.model_validate({"schema": {"type": "strng"}})
    with pytest.raises(ValidationError, match=r"a JSON Schema with a \$ref to nothing"):
        JsonSchemaConfig.model_validate({"schema": {"anyOf": [{"$ref": "#/$defs/a"}]}})


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, "3", "true"),
        ({"$ref": "#a", "$defs": {"a": {"$anchor": "a", "type": "integer"}}}, "3", "true"),
        ({"$ref": "b", "$id": "urn:x:a", "$defs": {"b": {"$id": "b", "type": "integer"}}}, "3", "true"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, '{"type": "null"}', '{"type": 5}'),
        ({"type": "array", "items": {"$ref": "#"}}, "[[[]]]", "[3]"),
        ({"const": {"$ref": "#/nowhere"}}, '{"$ref": "#/nowhere"}', "3"),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "definitions": {"a": {}}},
            "3",
            "",
        ),
    ],
)
async def test_references_inside_a_schema_are_followed(schema: Any, right: str, wrong: str) -> None:
    assert (await scored(right, schema=schema)).passed
    assert not (await scored(wrong, schema=schema)).passed


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("text", "case 'c1' has no JSON Schema in expected"),
        ({"type": 3}, "case 'c1': expected is not a JSON Schema"),
        ({"$ref": "https://example.com/schema.json"}, r"case 'c1': the JSON Schema has a \$ref to nothing"),
        ({"properties": {"a": {"items": {"$ref": "#/$defs/b"}}}}, r"case 'c1': the JSON Schema has a \$ref to nothing"),
    ],
)
async def test_a_mistake_in_a_case_is_told_and_nothing_is_fetched(expected: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        await JsonSchemaScorer(JsonSchemaConfig()).score(a_case(expected=expected), Trace(output="{}"))
