"""Whatever a model writes is graded; what the suite's author got wrong is told."""

from typing import Any

import pytest

from agentbench.errors import UserError
from agentbench.protocols import Scorer
from agentbench.scorers.json_equal import JsonEqualConfig, JsonEqualScorer
from agentbench.scorers.numeric import NumericConfig, NumericScorer
from agentbench.scorers.text import ExactConfig, ExactScorer, RegexConfig, RegexScorer
from agentbench.trace import Trace
from tests.fakes import a_case


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
