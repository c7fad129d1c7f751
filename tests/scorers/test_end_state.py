"""`end_state`: where the tools' state differs from the expected one."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbench.core.attempt import Score
from agentbench.core.errors import UserError
from agentbench.scorers.end_state import EndStateConfig, EndStateScorer, Rules, differences, parse_path
from tests.fakes import a_case
from tests.scorers.calls_made import a_trace

SHOP = {
    "orders": [{"id": 1, "status": "paid", "at": "10:00"}, {"id": 2, "status": "open", "at": "11:00"}],
    "balance": 20.0,
    "a.b/c": None,
}


async def scored(state: Any, expected: Any = SHOP, **options: Any) -> Score:
    scorer = EndStateScorer(EndStateConfig.model_validate(options))
    return await scorer.score(a_case(expected={"state": expected}), a_trace(state=state))


def changed(**changes: Any) -> dict[str, Any]:
    state = copy.deepcopy(SHOP)
    for path, value in changes.items():
        *keys, last = path.split("__")
        inner: Any = state
        for key in keys:
            inner = inner[int(key) if key.isdecimal() else key]
        inner[int(last) if last.isdecimal() else last] = value
    return state


async def test_an_equal_state_passes() -> None:
    score = await scored(copy.deepcopy(SHOP))
    assert (score.passed, score.value, score.reason) == (True, 1.0, "as expected")
    assert (await scored(changed(balance=20))).passed


async def test_the_reason_names_the_first_differing_paths() -> None:
    score = await scored(changed(orders__0__status="open", balance=True, note=1))
    assert not score.passed
    assert score.value == pytest.approx(1 - 3 / 8)
    assert "$.orders[0].status: expected 'paid', got 'open'" in score.reason
    assert "$.balance: expected 20.0, got True" in score.reason
    assert "$.note: expected nothing, got 1" in score.reason


async def test_a_lost_branch_counts_with_all_that_was_in_it() -> None:
    score = await scored(changed(orders=None))
    assert score.value == pytest.approx(2 / 8)
    assert (await scored(None)).reason == "the tools kept no state"
    assert (await scored(None)).value == 0.0


async def test_only_the_paths_asked_for_are_compared() -> None:
    other = changed(orders__1__status="lost", balance=0)
    assert (await scored(other, paths=["orders.0", "/a.b~1c"])).passed
    assert not (await scored(other, paths=["orders.*.status"])).passed
    assert (await scored(other, paths=["orders.*.id"])).passed
    assert (await scored({"x": {"y": 1}}, {"x": {"y": 1, "z": 2}}, paths=["x.y"])).passed


async def test_ignored_paths_are_left_out() -> None:
    other = changed(orders__0__at="12:00", orders__1__at=None, balance=1)
    assert (await scored(other, ignore=["orders.*.at", "/balance"])).passed
    assert not (await scored(other, ignore=["orders.0.at", "balance"])).passed


async def test_only_what_is_named_may_be_looked_at() -> None:
    assert not (await scored(SHOP, {"balance": 20})).passed
    assert (await scored(SHOP, {"balance": 20}, partial=True)).passed
    assert (await scored({"orders": [{"id": 1, "at": 0}]}, {"orders": [{"id": 1}]}, partial=True)).passed
    assert not (await scored({"orders": [{"id": 1}, {"id": 2}]}, {"orders": [{"id": 1}]}, partial=True)).passed


async def test_what_must_not_have_happened_did_not() -> None:
    scorer = EndStateScorer(EndStateConfig(key="attack", partial=True, absent=True))
    case = a_case(expected={"attack": {"balance": 0}})
    happened = await scorer.score(case, a_trace(state=changed(balance=0)))
    assert (happened.passed, happened.value, happened.reason) == (False, 0.0, "it happened: {'balance': 0}")
    assert (await scorer.score(case, a_trace(state=SHOP))).passed


async def test_numbers_may_be_off_by_the_tolerance() -> None:
    assert (await scored(changed(balance=20.004), tolerance=0.01)).passed
    assert not (await scored(changed(balance=20.02), tolerance=0.01)).passed
    assert not (await scored(changed(balance=10**400), tolerance=0.01)).passed
    assert not (await scored(changed(balance=float("nan")), tolerance=0.01)).passed


async def test_an_integer_that_no_float_holds_is_compared_with_all_its_digits() -> None:
    expected = {"id": 9007199254740993}
    assert not (await scored({"id": 9007199254740992}, expected)).passed
    assert not (await scored({"id": 9007199254740992}, expected, tolerance=0.5)).passed
    assert (await scored({"id": 9007199254740993}, expected)).passed


async def test_null_is_not_the_same_as_nothing() -> None:
    assert not (await scored({}, {"a": None})).passed
    assert not (await scored({"a": None}, {})).passed


async def test_a_case_without_a_state_is_told() -> None:
    wrong: tuple[Any, ...] = (None, {"orders": []})
    for expected in wrong:
        with pytest.raises(UserError, match=r"case 'c1': expected = .*end_state needs"):
            await EndStateScorer(EndStateConfig()).score(a_case(expected=expected), a_trace())
    with pytest.raises(UserError, match="has nothing at the scorer's paths"):
        await scored(SHOP, {}, paths=["orders.*.id"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(JSON, JSON)
def test_there_is_no_difference_exactly_when_the_values_are_equal_json(a: Any, b: Any) -> None:
    assert not list(differences(a, copy.deepcopy(a), (), Rules()))
    found = list(differences(a, b, (), Rules()))
    # Python holds 1 and true for equal, JSON does not.
    assert bool(found) == (repr(_sorted(a)) != repr(_sorted(b)))
    assert not list(differences(a, b, (), Rules(ignored=[each.path for each in found])))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("text", "path"),
    [("", ()), ("$", ()), ("a.0", ("a", "0")), ("$.a", ("a",)), ("/a~1b/~0/", ("a/b", "~", "")), ("/", ("",))],
)
def test_paths_are_dotted_or_json_pointers(text: str, path: tuple[str, ...]) -> None:
    assert parse_path(text) == path
