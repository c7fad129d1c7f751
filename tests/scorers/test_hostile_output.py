"""Whatever a model writes is graded; what the suite's author got wrong is told."""

from typing import Any

import pytest

from agentbench.core.errors import UserError
from agentbench.core.protocols import Scorer
from agentbench.core.trace import Trace
from agentbench.scorers.end_state import EndStateConfig, EndStateScorer
from agentbench.scorers.json_answer import JsonEqualConfig, JsonEqualScorer, JsonSchemaConfig, JsonSchemaScorer
from agentbench.scorers.judge import JudgeConfig, JudgeScorer, PairwiseConfig, PairwiseScorer
from agentbench.scorers.semantic import SemanticConfig, SemanticScorer
from agentbench.scorers.text import (
    ExactConfig,
    ExactScorer,
    HumanConfig,
    HumanScorer,
    IncludesConfig,
    IncludesScorer,
    NumericConfig,
    NumericScorer,
    RegexConfig,
    RegexScorer,
)
from agentbench.scorers.trajectory import TrajectoryConfig, TrajectoryScorer
from tests.fakes import SayBackend, a_case
from tests.scorers.calls_made import a_call, a_trace


@pytest.mark.parametrize(
    "output", ["1" + "0" * 400, "9" * 5000, "[" * 100_000, "NaN", "1e999", '"\\ud800"', ""], ids=lambda text: text[:8]
)
@pytest.mark.parametrize("scorer", [JsonEqualScorer(JsonEqualConfig(tolerance=0.1)), NumericScorer(NumericConfig())])
async def test_any_output_is_graded(scorer: Scorer, output: str) -> None:
    assert not (await scorer.score(a_case(expected=5.5), Trace(output=output))).passed


@pytest.mark.parametrize(
    ("scorer", "expected", "message"),
    [
        (ExactScorer(ExactConfig()), None, "case 'c1' has no expected text"),
        (RegexScorer(RegexConfig()), None, "case 'c1': expected = None is not a regular expression"),
        (RegexScorer(RegexConfig()), "(", r"case 'c1': expected = '\(' is not a regular expression"),
    ],
)
async def test_an_expected_value_that_is_none_is_told(scorer: Scorer, expected: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        await scorer.score(a_case(expected=expected), Trace(output="None"))


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


OUTPUTS = {
    "empty": "",
    "surrogates": "\ud800\udfff",
    "nul": "\x00\x1b[2J",
    "deep_json": "[" * 100_000,
    "deep_but_valid_json": "[" * 900 + "]" * 900,
    "deep_object": '{"a":' * 400 + "1" + "}" * 400,
    "long_number": "9" * 5000,
    "nan": "NaN",
    "infinite": '{"a": 1e999}',
    "megabyte": "word " * 200_000,
    "placeholders": "{output} {rubric} {0} %s",
}
SCHEMA = {"type": "object", "additionalProperties": {"type": "integer"}, "required": ["city"]}


def asking(scorer: Any, reply: str) -> Any:
    scorer.use(SayBackend(reply))
    return scorer


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize(
    ("scorer", "expected"),
    [
        (IncludesScorer(IncludesConfig(ignore_case=True)), "Paris"),
        (JsonSchemaScorer(JsonSchemaConfig()), SCHEMA),
        (SemanticScorer(SemanticConfig()), "Paris"),
        (HumanScorer(HumanConfig()), None),
        (asking(JudgeScorer(JudgeConfig(rubric="r")), '{"reason": "r", "verdict": "fail"}'), "Paris"),
        (asking(PairwiseScorer(PairwiseConfig()), '{"reason": "r", "better": "B"}'), "Paris"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_no_final_text_breaks_a_scorer(scorer: Scorer, expected: Any, name: str) -> None:
    score = await scorer.score(a_case(expected=expected), Trace(output=OUTPUTS[name]))
    assert 0 <= score.value < 1
    assert len(score.reason) < 1000


@pytest.mark.parametrize(
    "arguments",
    [{"x": "\ud800"}, {"x": float("nan")}, {"x": 10**5000}, {"x": nested(900)}, {"x" * 1_000_000: "y" * 1_000_000}],
    ids=["surrogate", "nan", "long_number", "deep", "megabyte"],
)
async def test_no_call_and_no_state_breaks_a_scorer(arguments: dict[str, Any]) -> None:
    trace = a_trace([a_call("a\ud800", arguments), a_call("a", arguments)], state=arguments)
    for mode in ("strict", "unordered"):
        scorer = TrajectoryScorer(TrajectoryConfig.model_validate({"mode": mode}))
        expected = [{"name": "a", "arguments": {"x": 1.5}}]
        score = await scorer.score(a_case(expected=expected), trace)
        assert (score.passed, score.value) == (False, 0.0)
        assert len(score.reason) < 2000
    states = EndStateScorer(EndStateConfig(tolerance=0.5))
    for state in ({"x": 1.5}, {"x": [1]}, {"x": {"y": None}}):
        score = await states.score(a_case(expected={"state": state}), trace)
        assert not score.passed
        assert len(score.reason) < 2000
    judge = asking(JudgeScorer(JudgeConfig(rubric="r")), '{"reason": "r", "verdict": "fail"}')
    assert not (await judge.score(a_case(), trace)).passed
