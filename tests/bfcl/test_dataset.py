"""BFCL as it is in the pulled package."""

import json
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from agentbench.bfcl.archive import json_schema
from agentbench.bfcl.call_scorer import ToolCallMatchConfig, ToolCallMatchScorer
from agentbench.bfcl.dataset import BfclConfig, BfclDataset, Category
from agentbench.core.case import Case
from agentbench.core.trace import ToolCall, Trace

SIZES = {
    "simple_python": 400,
    "multiple": 200,
    "parallel": 200,
    "parallel_multiple": 200,
    "irrelevance": 240,
    "live_simple": 258,
    "live_multiple": 1053,
    "live_parallel": 16,
    "live_parallel_multiple": 24,
    "live_irrelevance": 884,
    "live_relevance": 16,
}

CONTRADICTORY = {
    "parallel_multiple_12",
    "parallel_multiple_26",
    "live_simple_106-63-0",
    "live_simple_112-68-0",
    "live_multiple_507-149-4",
    "live_multiple_862-181-3",
    "live_multiple_964-207-0",
}
"""Cases whose published answer does not fit their own function document: no call can pass."""


def load(category: str) -> list[Case]:
    return BfclDataset(BfclConfig.model_validate({"category": category})).load(Path())


def check_schema(schema: Any) -> None:
    """Checks the schemas of its properties and items each by itself, and without the words of its description.

    So what many cases have in common is checked once.
    """
    outer = dict(schema) if isinstance(schema, dict) else schema
    if isinstance(outer, dict):
        if isinstance(outer.get("properties"), dict):
            for each in outer.pop("properties").values():
                check_schema(each)
        if "items" in outer:
            check_schema(outer.pop("items"))
        if isinstance(outer.get("description"), str):
            outer["description"] = ""
    check_outer_schema(json.dumps(outer))


@cache
def check_outer_schema(text: str) -> None:
    Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.long
@pytest.mark.parametrize("category", get_args(Category))
def test_every_category_is_whole_and_its_schemas_are_valid(category: str) -> None:
    cases = load(category)
    assert len(cases) == SIZES[category]
    assert len({case.id for case in cases}) == len(cases)
    for case in cases:
        for tool in case.tools:
            check_schema(tool.parameters)
            assert tool.parameters["type"] == "object"


def test_the_first_case() -> None:
    case = load("simple_python")[0]
    assert case.messages[0]["content"].startswith("Find the area of a triangle")
    assert case.tools[0].parameters["properties"]["base"]["type"] == "integer"
    assert case.expected == {
        "calls": [{"calculate_triangle_area": {"base": [10], "height": [5], "unit": ["units", ""]}}]
    }


def test_live_cases_of_one_request_are_a_cluster() -> None:
    clusters = {case.id: case.cluster for case in load("live_simple")}
    assert clusters["live_simple_0-0-0"] == "live_simple_0"
    assert len(set(clusters.values())) < len(clusters)


def test_types_are_converted_all_the_way_down_and_a_float_stays_one() -> None:
    document: dict[str, Any] = {
        "type": "dict",
        "properties": {
            "type": {"type": "string"},
            "pair": {"type": "tuple", "items": {"type": "float"}},
            "free": {"type": "any", "description": "x", "optional": True},
        },
        "required": ["pair", "gone"],
    }
    assert json_schema(document) == {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "pair": {"type": "array", "items": {"type": "number", "format": "float"}},
            "free": {"description": "x"},
        },
        "required": ["pair"],
    }


@pytest.mark.parametrize(
    "category", ["simple_python", "multiple", "parallel", "parallel_multiple", "live_simple", "live_multiple"]
)
async def test_the_first_accepted_call_of_each_case_passes_and_another_name_fails(category: str) -> None:
    scorer = ToolCallMatchScorer(ToolCallMatchConfig())
    unmet = set()
    for case in load(category):
        if not (await scorer.score(case, _made(case))).passed:
            unmet.add(case.id)
        assert not (await scorer.score(case, _made(case, suffix="x"))).passed, case.id
        assert not (await scorer.score(case, Trace())).passed, case.id
    assert unmet == {case_id for case_id in CONTRADICTORY if case_id.rsplit("_", 1)[0] == category}


def _made(case: Case, suffix: str = "") -> Trace:
    """The calls that take the first allowed value of every parameter that may not be left out."""
    steps = []
    for option in case.expected["calls"]:
        [(name, allowed)] = option.items()
        arguments = {key: _first(values) for key, values in allowed.items() if _needed(values)}
        call = ToolCall(call_id="", name=name + suffix, arguments=arguments, started_at=0, ended_at=0, executed=False)
        steps.append(call)
    return Trace(steps=tuple(steps))


def _needed(values: Any) -> bool:
    return not isinstance(values, list) or any(value != "" for value in values)


def _first(values: Any) -> Any:
    """The first allowed value; a dict (or a list of them) allows lists of values for its own keys."""
    if not isinstance(values, list):
        return values
    value = next(value for value in values if value != "")
    if isinstance(value, dict):
        return {key: _first(inner) for key, inner in value.items() if _needed(inner)}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [_first([item]) for item in value]
    return value


def test_categories_can_be_joined() -> None:
    joined = BfclDataset(BfclConfig(category=("irrelevance", "parallel"))).load(Path())
    assert len(joined) == 240 + 200
    assert len({case.id for case in joined}) == len(joined)
    assert {case.metadata["category"] for case in joined} == {"irrelevance", "parallel"}
    assert len(BfclConfig(category="all").categories) == 11
