"""includes, json_schema, end_state, trajectory, judge, human."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench import spec
from agentbench.case import Case
from agentbench.config import Component
from agentbench.errors import AttemptError, UserError
from agentbench.protocols import Scorer
from agentbench.score import Score
from agentbench.scorers.judge import JudgeConfig, JudgeScorer
from agentbench.trace import ToolCall, Trace
from tests.fakes import SayBackend


async def graded(name: str, expected: Any, trace: Trace, **options: Any) -> Score:
    scorer: Scorer = spec.build("scorers", Component(name=name, **options))
    return await scorer.score(Case(id="c", messages=(), expected=expected), trace)


def said(text: str) -> Trace:
    return Trace(output=text)


@pytest.mark.parametrize(
    ("expected", "text", "options", "value", "passed"),
    [
        ("Paris", "it is PARIS.", {}, 1.0, True),
        (["Paris", "Seine"], "Paris", {}, 0.5, False),
        (["Paris", "Seine"], "Paris", {"which": "any"}, 0.5, True),
        (["Paris"], "paris", {"ignore_case": False}, 0.0, False),
        ({"includes": ["a"], "state": {}}, "A", {}, 1.0, True),
    ],
)
async def test_includes(expected: Any, text: str, options: Any, value: float, passed: bool) -> None:
    score = await graded("includes", expected, said(text), **options)
    assert (score.value, score.passed) == (value, passed)


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"n": 1}', "valid"),
        ('{"n": "x"}', "at n: 'x' is not of type 'integer'"),
        ("{}", "at the top: 'n' is a required property"),
        ("{", "not valid JSON: "),
        ("[" * 100_000, "not valid JSON: "),
    ],
)
async def test_json_schema(text: str, reason: str) -> None:
    for score in (
        await graded("json_schema", {"schema": SCHEMA}, said(text)),
        await graded("json_schema", None, said(text), schema=SCHEMA),
    ):
        assert score.reason.startswith(reason)
        assert score.passed is (reason == "valid")


@pytest.mark.parametrize(
    ("expected", "state", "options", "reason"),
    [
        ({"a": 1, "b": [1, 2]}, {"a": 1.0, "b": [1, 2]}, {}, "as expected"),
        ({"a": 1}, {"a": 2}, {}, "a: is 2, expected 1"),
        ({"a": {"b": 1}}, {"a": {}}, {}, "a.b: is not there, expected 1"),
        ({"a": 1}, {"a": 1, "z": 0}, {}, "z: is 0, expected not to be there"),
        ({"a": 1}, {"a": 1, "z": 0}, {"partial": True}, "as expected"),
        ({"a": 1}, {"a": 1, "at": 9}, {"ignore": ["at"]}, "as expected"),
        ({"l": [{"x": 1}, {"x": 2}]}, {"l": [{"x": 1}, {"x": 3}]}, {}, "l.1.x: is 3, expected 2"),
        ({"l": [1]}, {"l": [1, 2]}, {}, "l: is [1, 2], expected [1]"),
        ({"a": True}, {"a": 1}, {}, "a: is 1, expected True"),
        ({"a": 1}, None, {}, "the state: is None, expected {'a': 1}"),
        (1.0, 1.05, {"tolerance": 0.1}, "as expected"),
    ],
)
async def test_end_state(expected: Any, state: Any, options: Any, reason: str) -> None:
    score = await graded("end_state", {"state": expected}, Trace(state=state), **options)
    assert score.reason == reason
    assert score.passed is (reason == "as expected")


def made(*names: str) -> Trace:
    steps = [
        ToolCall(call_id="", name=n[0], arguments={"x": n[1:]}, started_at=i, ended_at=i, executed=True)
        for i, n in enumerate(names)
    ]
    return Trace(steps=tuple(steps))


def wanted(*names: str) -> list[dict[str, Any]]:
    return [{"name": n[0], "arguments": {"x": n[1:]}} for n in names]


@pytest.mark.parametrize(
    ("mode", "did", "expected", "passed", "value"),
    [
        ("strict", "a1 b1", "a1 b1", True, 1),
        ("strict", "b1 a1", "a1 b1", False, 0.5),
        ("unordered", "b1 a1", "a1 b1", True, 1),
        ("unordered", "a1", "a1 b1", False, 2 / 3),
        ("subset", "a1", "a1 b1", True, 2 / 3),
        ("subset", "a1 c1", "a1 b1", False, 0.5),
        ("superset", "a1 c1 b1", "a1 b1", True, 0.8),
        ("superset", "a1", "a1 b1", False, 2 / 3),
        ("strict", "", "", True, 1),
        ("strict", "a2", "a1", False, 0),
    ],
)
async def test_trajectory(mode: str, did: str, expected: str, passed: bool, value: float) -> None:
    score = await graded("trajectory", {"trajectory": wanted(*expected.split())}, made(*did.split()), mode=mode)
    assert score.passed is passed
    assert score.value == pytest.approx(value)


def close(one: Any, other: Any) -> bool:
    return abs(int(one["x"]) - int(other["x"])) <= 1


names = st.lists(st.sampled_from(["a1", "a2", "a3", "b1", "b2"]), max_size=5)


@given(names, names)
async def test_the_assignment_is_the_best_there_is(did: list[str], expected: list[str]) -> None:
    """With arguments that need only be close, a greedy pairing would miss pairs."""
    options = {"mode": "unordered", "arguments": f"{__name__}:close"}
    score = await graded("trajectory", wanted(*expected), made(*did), **options)
    small, large = sorted((did, expected), key=len)
    best = max(
        (
            sum(a[0] == b[0] and abs(int(a[1:]) - int(b[1:])) <= 1 for a, b in zip(small, order, strict=False))
            for order in itertools.permutations(large, len(small))
        ),
        default=0,
    )
    total = len(did) + len(expected)
    assert score.value == pytest.approx(2 * best / total if total else 1.0)


async def test_arguments_may_be_ignored() -> None:
    assert (await graded("trajectory", wanted("a1"), made("a2"), arguments="ignore")).passed
    with pytest.raises(UserError, match="arguments = 'fuzzy': use exact, ignore or module:function"):
        await graded("trajectory", [], made(), arguments="fuzzy")


async def judged(
    config: dict[str, Any], *replies: Any, expected: Any = "blue", output: str = "red"
) -> tuple[Score, SayBackend]:
    scorer = JudgeScorer(JudgeConfig.model_validate({"rubric": "Names a colour.", **config}))
    backend = SayBackend(*(reply if isinstance(reply, str) else json.dumps(reply) for reply in replies))
    scorer.use(backend)
    case = Case(id="c", messages=({"role": "user", "content": "Which {scale} colour?"},), expected=expected)
    return await scorer.score(case, Trace(output=output)), backend


async def test_a_judge_gives_a_score_by_the_rubric() -> None:
    score, backend = await judged({"scale": 4, "pass_at": 3}, {"reason": "close", "score": 3})
    assert (score.value, score.passed, score.reason) == (0.75, True, "3 of 4: close")
    [request] = backend.requests
    text = request.messages[1]["content"]
    assert "Names a colour." in text
    assert "<task>\nuser: Which {scale} colour?\n</task>" in text
    assert "<answer>\nred\n</answer>" in text
    assert request.response_format is not None
    assert request.temperature == 0.0


async def test_a_verdict_that_can_t_be_read_is_asked_for_once_more() -> None:
    score, backend = await judged({}, "I like it", {"reason": "yes", "score": 1})
    assert score.passed
    assert [request.seed for request in backend.requests] == [0, 1]
    with pytest.raises(AttemptError, match="the judge's verdict can't be read: 'no'") as caught:
        await judged({}, "hm", "no")
    assert caught.value.kind == "grader"


@pytest.mark.parametrize(
    ("first", "swapped", "value"),
    [("1", "2", 1.0), ("2", "1", 0.0), ("1", "1", 0.5), ("2", "2", 0.5), ("tie", "2", 0.5)],
)
async def test_a_pair_is_judged_both_ways_round(first: str, swapped: str, value: float) -> None:
    replies = [{"reason": "r", "better": better} for better in (first, swapped)]
    score, backend = await judged({"mode": "pairwise"}, *replies)
    assert score.value == value
    texts = [request.messages[1]["content"] for request in backend.requests]
    assert texts[0].index("red") < texts[0].index("blue")
    assert texts[1].index("blue") < texts[1].index("red")


async def test_a_long_answer_is_cut_in_its_middle() -> None:
    _, backend = await judged({}, {"reason": "r", "score": 0}, output="a" * 50_000 + "\udc80" + "z" * 50_000)
    text = backend.requests[0].messages[1]["content"]
    assert len(text) < 15_000
    assert "characters left out" in text


async def test_a_person_s_verdict_is_still_to_come() -> None:
    score = await graded("human", None, said("x"))
    assert (score.passed, score.reason) == (None, "waits for review")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("includes", 3),
        ("json_schema", None),
        ("end_state", {"x": 1}),
        ("trajectory", "a"),
        ("json_schema", {"type": 5}),
    ],
)
async def test_a_case_that_expects_nothing_it_could_grade_is_told(name: str, expected: Any) -> None:
    with pytest.raises(UserError, match="case 'c'"):
        await graded(name, expected, said("x"))
