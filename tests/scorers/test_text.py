"""Scorers of the final text."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.protocols import Scorer
from agentbench.core.trace import Trace
from agentbench.scorers.facts import FactsConfig, FactsScorer
from agentbench.scorers.json_answer import JsonEqualConfig, JsonEqualScorer, JsonSchemaConfig, JsonSchemaScorer
from agentbench.scorers.semantic import SemanticConfig, SemanticScorer
from agentbench.scorers.text import (
    ExactConfig,
    ExactScorer,
    IncludesConfig,
    IncludesScorer,
    NumericConfig,
    NumericScorer,
    RegexConfig,
    RegexScorer,
    last_number,
)
from agentbench.scorers.trajectory import TrajectoryConfig, TrajectoryScorer
from tests.fakes import a_case


async def graded(scorer: Scorer, output: str, expected: Any) -> Score:
    case: Case = a_case(expected=expected)
    return await scorer.score(case, Trace(output=output))


@pytest.mark.parametrize(
    ("options", "output", "expected", "passed"),
    [
        ({}, " yes\n", "yes", True),
        ({"strip": False}, " yes\n", "yes", False),
        ({}, "Yes", "yes", False),
        ({"ignore_case": True}, "YES", "yes", True),
        ({}, "no", ["yes", "no"], True),
        ({}, "5", 5, True),
        ({}, "", "yes", False),
    ],
)
async def test_exact(options: dict[str, bool], output: str, expected: Any, passed: bool) -> None:
    score = await graded(ExactScorer(ExactConfig.model_validate(options)), output, expected)
    assert (score.passed, score.value) == (passed, float(passed))


@pytest.mark.parametrize(
    ("options", "output", "passed"),
    [
        ({}, "the answer is 42.", True),
        ({"full": True}, "the answer is 42.", False),
        ({"full": True}, "42", True),
        ({"pattern": "ANSWER"}, "the answer", False),
        ({"pattern": "ANSWER", "ignore_case": True}, "the answer", True),
    ],
)
async def test_regex(options: dict[str, Any], output: str, passed: bool) -> None:
    assert (await graded(RegexScorer(RegexConfig.model_validate(options)), output, r"4\d")).passed is passed


def test_a_pattern_that_does_not_compile_is_refused() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        RegexConfig(pattern="(")


@pytest.mark.parametrize(
    ("output", "expected", "reason"),
    [
        ('{"b": 1.0, "a": [1, 2]}', {"a": [1, 2], "b": 1}, "equal"),
        ('{"a": [1, 3]}', {"a": [1, 2]}, "$.a[1]: expected 2, got 3"),
        ('{"a": 1}', {"b": 1}, "$: missing keys ['b'], unexpected keys ['a']"),
        ("[1]", [1, 2], "$: expected 2 items, got 1"),
        ("true", 1, "$: expected 1, got True"),
        ('"1"', 1, "$: expected 1, got '1'"),
        ("not json", {}, "the answer is not JSON"),
        ("null", None, "equal"),
    ],
)
async def test_json_equal(output: str, expected: Any, reason: str) -> None:
    score = await graded(JsonEqualScorer(JsonEqualConfig()), output, expected)
    assert score.reason.startswith(reason)
    assert score.passed is (reason == "equal")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("9007199254740992", 9007199254740993),
        ('{"a": [9007199254740992]}', {"a": [9007199254740993]}),
        ("9007199254740993", 9007199254740992.0),
        ("NaN", 1),
        ("Infinity", 1),
    ],
)
async def test_json_equal_with_numbers_that_no_float_holds(output: str, expected: Any) -> None:
    assert not (await graded(JsonEqualScorer(JsonEqualConfig()), output, expected)).passed
    assert not (await graded(JsonEqualScorer(JsonEqualConfig(tolerance=1e-17)), output, expected)).passed


async def test_json_equal_with_tolerance() -> None:
    scorer = JsonEqualScorer(JsonEqualConfig(tolerance=0.01))
    assert (await graded(scorer, '{"a": 1.005}', {"a": 1})).passed
    assert not (await graded(scorer, '{"a": 1.05}', {"a": 1})).passed


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 1,234.5 metres.", 1234.5),
        ("3 + 4 = 7", 7.0),
        ("about -2.5e-3", -0.0025),
        ("none at all", None),
        ("the end.", None),
        ("version 1.2.3", 0.3),
        (".5", 0.5),
        ("1,2", 2.0),
    ],
)
def test_last_number(text: str, number: float | None) -> None:
    assert last_number(text) == (None if number is None else Decimal(repr(number)))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_is_read_back(value: float) -> None:
    assert last_number(f"so the answer is {value!r} units") == Decimal(repr(value))


async def test_numeric_within_tolerance() -> None:
    scorer = NumericScorer(NumericConfig(rel_tolerance=0.01))
    assert (await graded(scorer, "about 100.5", 100)).passed
    assert not (await graded(scorer, "about 102", 100)).passed
    assert (await graded(scorer, "no idea", 100)).reason == "no number in 'no idea'"


@pytest.mark.parametrize("pattern", ["^$", "^(?!.*error)", "[^0-9]", "x*y", r"^\s*$", r"^(\w+\s?)*$"])
async def test_a_pattern_that_some_answer_does_not_meet_is_taken(pattern: str) -> None:
    assert RegexConfig(pattern=pattern).pattern == pattern


async def test_the_whole_text_may_have_to_be_without_something() -> None:
    assert not (await graded(RegexScorer(RegexConfig(full=True)), "a7", "[^0-9]*")).passed


@pytest.mark.parametrize(
    ("scorer", "key", "expected", "output"),
    [
        (ExactScorer(ExactConfig()), "exact", "yes", "yes"),
        (RegexScorer(RegexConfig()), "regex", r"4\d", "42"),
        (NumericScorer(NumericConfig()), "numeric", 42, "42"),
        (JsonEqualScorer(JsonEqualConfig()), "json_equal", None, "null"),
        (IncludesScorer(IncludesConfig()), "includes", ["yes"], "yes"),
        (JsonSchemaScorer(JsonSchemaConfig()), "schema", {"type": "integer"}, "42"),
        (SemanticScorer(SemanticConfig()), "semantic", "yes", "yes"),
        (FactsScorer(FactsConfig()), "facts", {"facts": [{"fact": "it", "accept": ["yes"]}]}, "yes"),
        (TrajectoryScorer(TrajectoryConfig()), "trajectory", [], "yes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_scorer_finds_what_is_for_it_among_what_is_for_others(
    scorer: Scorer, key: str, expected: Any, output: str
) -> None:
    assert (await graded(scorer, output, {"another": "no", key: expected})).passed
    scorer.name = "another_name"
    assert (await graded(scorer, output, {key: "no", "another_name": expected})).passed
