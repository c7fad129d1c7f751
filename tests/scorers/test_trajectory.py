"""`trajectory`: the calls made against those expected, by each rule."""

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentbench.core.attempt import Score
from agentbench.core.errors import UserError
from agentbench.core.trace import ToolCall
from agentbench.scorers.trajectory import TrajectoryConfig, TrajectoryScorer, most_pairs, most_pairs_in_order
from tests.fakes import a_case
from tests.scorers.calls_made import a_call, a_trace

A, B, C = ({"name": name, "arguments": {"x": 1}} for name in "abc")


def same_city(made: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return "days" in expected and str(expected["city"]).lower() == str(made["city"]).lower()


async def scored(expected: Any, *turns: list[ToolCall], **options: Any) -> Score:
    scorer = TrajectoryScorer(TrajectoryConfig.model_validate(options))
    return await scorer.score(a_case(expected=expected), a_trace(*turns))


def made(*names: str) -> list[ToolCall]:
    return [a_call(name, {"x": 1}) for name in names]


@pytest.mark.parametrize(
    ("names", "passing", "value"),
    [
        ("ab", {"strict", "unordered", "subset", "superset"}, 1.0),
        ("ba", {"unordered", "subset", "superset"}, 1.0),
        ("a", {"subset"}, 2 / 3),
        ("abc", {"superset"}, 4 / 5),
        ("aa", set(), 1 / 2),
        ("", {"subset"}, 0.0),
        ("c", set(), 0.0),
    ],
)
async def test_each_mode_has_its_rule(names: str, passing: set[str], value: float) -> None:
    for mode in ("strict", "unordered", "subset", "superset"):
        score = await scored({"trajectory": [A, B]}, made(*names), mode=mode)
        assert score.passed == (mode in passing), (mode, score.reason)
        in_order = {"ba": 1 / 2}.get(names, value)
        assert score.value == pytest.approx(in_order if mode == "strict" else value)


async def test_no_calls_expected_and_none_made_is_right() -> None:
    assert (await scored([], [])).passed
    score = await scored({"trajectory": []}, made("a"))
    assert (score.passed, score.value) == (False, 0.0)


@pytest.mark.parametrize(
    ("arguments", "given_arguments", "passed"),
    [
        ("exact", {"city": "Rome", "days": 2}, True),
        ("exact", {"city": "Rome", "days": 2.0}, True),
        ("exact", {"city": "Rome", "days": True}, False),
        ("exact", {"city": "Rome", "days": 2, "unit": "C"}, False),
        ("subset", {"city": "Rome", "days": 2, "unit": "C"}, True),
        ("subset", {"city": "Rome"}, False),
        ("ignore", {"city": "Oslo"}, True),
        ("tests.scorers.test_trajectory:same_city", {"city": "ROME"}, True),
        ("tests.scorers.test_trajectory:same_city", {"city": "Oslo"}, False),
    ],
)
async def test_arguments_match_as_asked(arguments: str, given_arguments: dict[str, Any], passed: bool) -> None:
    expected = [{"name": "weather", "arguments": {"city": "Rome", "days": 2}}]
    score = await scored(expected, [a_call("weather", given_arguments)], arguments=arguments)
    assert score.passed is passed, score.reason


async def test_arguments_that_could_not_be_read_are_none() -> None:
    broken = [a_call("now", {}, error="the arguments are no JSON object")]
    assert not (await scored([{"name": "now"}], broken)).passed
    assert (await scored([{"name": "now"}], broken, arguments="ignore")).passed


async def test_calls_that_had_an_error_may_be_left_out() -> None:
    tried = [a_call("a", {"x": 1}, error="no such thing"), a_call("a", {"x": 1})]
    assert not (await scored([A], tried)).passed
    assert (await scored([A], tried, only_executed=True)).passed


async def test_turns_are_held_against_each_other_one_by_one() -> None:
    expected = {"trajectory": [[A], [B]]}
    assert (await scored(expected, made("a"), made("b"))).passed
    swapped = await scored(expected, made("b"), made("a"), mode="unordered")
    assert (swapped.passed, swapped.value) == (False, 0.0)
    short = await scored(expected, made("a"))
    assert short.reason.startswith("turn 2: expected and not made: b(")
    long = await scored(expected, made("a"), made("b"), made("c"))
    assert long.reason.startswith("turn 3: made and not expected: c(")
    assert long.value == pytest.approx(4 / 5)


@pytest.mark.parametrize("expected", [None, "a", {"calls": 3}, [{"nam": "a"}], [A, [B]], {"state": {}}])
async def test_an_expected_value_of_another_shape_is_told(expected: Any) -> None:
    with pytest.raises(UserError, match=r"case 'c1': expected = .*; trajectory needs"):
        await scored(expected, made("a"))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("exakt", "use exact, subset, ignore or module:function"),
        ("nowhere.at_all:f", "can't be imported: ModuleNotFoundError"),
        ("tests.scorers.test_trajectory:nothing", "can't be imported: AttributeError"),
        ("tests.scorers.test_trajectory:A", "is a dict, not a function"),
    ],
)
def test_a_wrong_function_is_told(reference: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrajectoryConfig(arguments=reference)


def rectangles(most: int) -> st.SearchStrategy[list[list[bool]]]:
    sizes = st.tuples(st.integers(0, most), st.integers(0, most))
    return sizes.flatmap(
        lambda size: st.lists(
            st.lists(st.booleans(), min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]
        )
    )


def best_by_trying_all(fits: list[list[bool]]) -> int:
    rows, columns = len(fits), len(fits[0]) if fits else 0
    if rows > columns:
        return best_by_trying_all([[fits[row][column] for row in range(rows)] for column in range(columns)])
    return max(
        sum(fits[row][column] for row, column in enumerate(chosen)) for chosen in permutations(range(columns), rows)
    )


@given(rectangles(5))
def test_as_many_calls_as_can_be_are_paired(fits: list[list[bool]]) -> None:
    pairs = most_pairs(fits)
    assert all(fits[row][column] for row, column in pairs)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert len(pairs) == (best_by_trying_all(fits) if fits and fits[0] else 0)


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_pairs_in_order_are_the_longest_common_subsequence(left: list[str], right: list[str]) -> None:
    pairs = most_pairs_in_order([[a == b for b in right] for a in left])
    assert pairs == sorted(pairs)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    assert all(left[a] == right[b] for a, b in pairs)
    assert len(pairs) == longest(tuple(left), tuple(right))


def longest(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    if not left or not right:
        return 0
    if left[0] == right[0]:
        return 1 + longest(left[1:], right[1:])
    return max(longest(left[1:], right), longest(left, right[1:]))
