"""BFCL's rules, one vector at a time."""

from collections.abc import Sequence
from typing import Any

import pytest

from agentbench.bfcl.call_scorer import ToolCallMatchConfig, ToolCallMatchScorer
from agentbench.core.attempt import Score
from agentbench.core.case import Case, ToolSpec
from agentbench.core.trace import ToolCall, Trace

INT, NUM, STR = {"type": "integer"}, {"type": "number"}, {"type": "string"}
BOOL, OBJ = {"type": "boolean"}, {"type": "object"}


def array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


async def grade(
    made: Sequence[tuple[str, dict[str, Any]]], expected: Any, schema: dict[str, Any], error: str | None = None
) -> Score:
    names = {name for option in expected.get("calls", ()) for name in option} or {"f"}
    tools = tuple(ToolSpec(name=name, description="", parameters=schema) for name in sorted(names))
    case = Case(id="c", messages=(), tools=tools, expected=expected)
    steps = tuple(
        ToolCall(call_id="", name=n, arguments=a, started_at=0, ended_at=0, executed=False, error=error)
        for n, a in made
    )
    return await ToolCallMatchScorer(ToolCallMatchConfig()).score(case, Trace(steps=steps))


@pytest.mark.parametrize(
    ("declared", "allowed", "value", "passed"),
    [
        (INT, [5], 5, True),
        (INT, [5], 5.0, False),
        (INT, [5], "5", False),
        (INT, [5], True, False),
        (INT, [5, 6], 6, True),
        (INT, [5], 7, False),
        (INT, ["x"], "x", True),
        (NUM, [5.0], 5, True),
        (NUM, [5], 5.0, True),
        (NUM, [0.5], 0.5, True),
        (NUM, [0.5], 0.25, False),
        (NUM, [0.5], "0.5", False),
        (BOOL, [True], True, True),
        (BOOL, [True], False, False),
        (BOOL, [True], "true", False),
        (BOOL, [True], 1, False),
        (STR, ["New York, NY"], "new york ny", True),
        (STR, ["New York, NY"], "New-York_NY", True),
        (STR, ["April 1, 2024"], "April 1 2024", True),
        (STR, ["it's"], 'it"s', True),
        (STR, ["a*b^c/d"], "abcd", True),
        (STR, ["km"], "kilometres", False),
        (STR, ["5"], 5, False),
        (STR, [5], 5, True),
        (STR, ["a", ""], "b", False),
        ({}, ["any"], "any", True),
        ({}, [3], 3, True),
        ({}, [3], "3", False),
        (array(INT), [[1, 2]], [1, 2], True),
        (array(INT), [[1, 2]], [2, 1], False),
        (array(INT), [[1, 2]], [1.0, 2.0], False),
        (array(INT), [[1, 2]], ["1", "2"], False),
        (array(NUM), [[1, 2]], [1, 2], True),
        (array(NUM), [[1.0, 2.0]], [1, 2], False),
        (array(STR), [["A, B"]], ["ab"], True),
        (array(STR), [["a"], ["b"]], ["b"], True),
        (array(STR), [["a"]], "a", False),
        (array(INT), [["x"], ""], [1], False),
        (array(array(INT)), [[[1, 2], [3, 4]]], [[1, 2], [3, 4]], True),
        ({"type": "array"}, [[1, "a"]], [1, "A"], True),
        (OBJ, [{"a": [1], "b": ["x", ""]}], {"a": 1}, True),
        (OBJ, [{"a": [1], "b": ["x", ""]}], {"a": 1, "b": "X"}, True),
        (OBJ, [{"a": [1], "b": ["x"]}], {"a": 1}, False),
        (OBJ, [{"a": [1]}], {"a": 1, "c": 2}, False),
        (OBJ, [{"a": [1]}], {"a": 2}, False),
        (OBJ, [{"a": [1]}, {"a": [2]}], {"a": 2}, True),
        (array(OBJ), [[{"a": [1]}, {"a": [2]}]], [{"a": 1}, {"a": 2}], True),
        (array(OBJ), [[{"a": [1]}, {"a": [2]}]], [{"a": 2}, {"a": 1}], False),
        (array(OBJ), [[{"a": [1]}]], [{"a": 1}, {"a": 1}], False),
        (array(OBJ), [[{"a": [1]}]], [5], False),
    ],
)
async def test_a_value(declared: dict[str, Any], allowed: list[Any], value: Any, passed: bool) -> None:
    score = await grade([("f", {"p": value})], {"calls": [{"f": {"p": allowed}}]}, {"properties": {"p": declared}})
    assert score.passed is passed, score.reason


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"a": 1}, "as expected"),
        ({"a": 1, "b": 2}, "as expected"),
        ({"b": 2}, "f: missing required parameter 'a'"),
        ({"a": 1, "c": 3}, "f: unexpected parameter 'c'"),
        ({"a": 1, "d": 4}, "f: unexpected parameter 'd'"),
        ({"a": 9}, "f: parameter 'a': 9 is not one of [1]"),
        ({"a": "1"}, "f: parameter 'a': '1' is of type str, expected integer"),
    ],
)
async def test_parameters(arguments: dict[str, Any], reason: str) -> None:
    schema = {"properties": {"a": INT, "b": INT, "d": INT}, "required": ["a"]}
    score = await grade([("f", arguments)], {"calls": [{"f": {"a": [1], "b": [2, ""]}}]}, schema)
    assert score.reason == reason


async def test_an_optional_parameter_that_the_answer_needs() -> None:
    schema = {"properties": {"a": INT, "b": INT}, "required": ["a"]}
    score = await grade([("f", {"a": 1})], {"calls": [{"f": {"a": [1], "b": [2]}}]}, schema)
    assert score.reason == "f: missing parameter 'b': one of [2]"


@pytest.mark.parametrize(
    ("made", "expected", "reason"),
    [
        ([("f", {}), ("g", {})], {"calls": [{"g": {}}, {"f": {}}]}, "as expected"),
        ([("f", {})], {"calls": [{"f": {}}, {"f": {}}]}, "1 calls made, expected 2"),
        ([("f", {}), ("f", {})], {"calls": [{"f": {}}, {"g": {}}]}, "called 'f', expected 'g'"),
        ([("f", {})], {"calls": []}, "1 calls made, expected 0"),
        ([], {"calls": []}, "as expected"),
        ([], {"min_calls": 1}, "0 calls made, expected at least 1"),
        ([("f", {})], {"min_calls": 1}, "as expected"),
        ([("math.f", {})], {"calls": [{"math_f": {}}]}, "called 'math.f', expected 'math_f'"),
    ],
)
async def test_several_calls(made: list[tuple[str, dict[str, Any]]], expected: Any, reason: str) -> None:
    assert (await grade(made, expected, {"properties": {}})).reason == reason


async def test_arguments_that_were_no_json_are_told() -> None:
    score = await grade([("f", {})], {"calls": [{"f": {}}]}, {}, error="the arguments are not valid JSON: x")
    assert score.reason == "f: the arguments are not valid JSON: x"


async def test_a_tool_that_the_case_does_not_declare_is_compared_by_its_examples() -> None:
    call = ToolCall(call_id="", name="g", arguments={"x": 1}, started_at=0, ended_at=0, executed=True, result="1")
    for allowed, passed in (([1], True), ([2], False), (["1"], False)):
        case = Case(id="c", messages=(), expected={"calls": [{"g": {"x": allowed}}]})
        score = await ToolCallMatchScorer(ToolCallMatchConfig()).score(case, Trace(steps=(call,)))
        assert score.passed is passed
