"""Calls of tools that BFCL's documents do not have: a user's own schemas, tools the case does not declare."""

from typing import Any

import pytest

from agentbench.bfcl.call_scorer import ToolCallMatchConfig, ToolCallMatchScorer, mismatch
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.trace import ToolCall, Trace

NUMBER_OR_NULL = {"anyOf": [{"type": "number"}, {"type": "null"}]}
OBJECTS = {"type": "array", "items": {"type": "object"}}


@pytest.mark.parametrize(
    ("declared", "allowed", "value", "passed"),
    [
        ({"type": ["string", "null"]}, ["New York"], "new york", True),
        ({"type": ["string", "null"]}, ["New York"], 5, False),
        (NUMBER_OR_NULL, [3.0], 3, True),
        (NUMBER_OR_NULL, [3.0], True, False),
        ({"type": "null"}, [None], None, True),
        ({"type": "array", "items": {"type": ["string", "null"]}}, [["A"]], ["a"], True),
        ({"type": "array", "items": True}, [["A"]], ["a"], True),
        (OBJECTS, [[5]], [{"a": 1}], False),
        ({"type": "object"}, [{"a": 1}], {"a": 1}, True),
        ({"type": "object"}, [{"a": 1}], {"a": 2}, False),
        ({"type": "number"}, [1.0], 10**400, False),
        ({"type": "number"}, [9007199254740992], 9007199254740993, False),
        ({"type": "number"}, [9007199254740993], 9007199254740993, True),
        (True, [1], 1, True),
    ],
)
def test_any_json_schema(declared: Any, allowed: list[Any], value: Any, passed: bool) -> None:
    assert (mismatch({"p": value}, {"p": allowed}, {"properties": {"p": declared}}) is None) is passed


@pytest.mark.parametrize(
    ("value", "allowed", "passed"),
    [
        (3, [3.0], True),
        (3.0, [3], True),
        (True, [1], False),
        (["New York"], [["new york"]], True),
        ({"a": 1}, [{"a": [1]}], True),
        ({"a": 1}, [{"a": [2]}], False),
    ],
)
async def test_a_tool_that_is_not_declared_is_typed_by_its_examples(
    value: Any, allowed: list[Any], passed: bool
) -> None:
    call = ToolCall(call_id="", name="g", arguments={"x": value}, started_at=0, ended_at=0, executed=True, result="1")
    case = Case(id="c", messages=(), expected={"calls": [{"g": {"x": allowed}}]})
    score = await ToolCallMatchScorer(ToolCallMatchConfig()).score(case, Trace(steps=(call,)))
    assert score.passed is passed, score.reason


@pytest.mark.parametrize(
    "expected",
    [None, [], {"cals": []}, {"calls": {}}, {"calls": [{"name": "f", "arguments": {}}]}, {"calls": [{"f": {"x": 1}}]}],
)
async def test_an_expected_value_of_another_shape_is_told(expected: Any) -> None:
    case = Case(id="c", messages=(), expected=expected)
    with pytest.raises(UserError, match=r"case 'c': expected = .*tool_call_match needs .*allowed values"):
        await ToolCallMatchScorer(ToolCallMatchConfig()).score(case, Trace())
