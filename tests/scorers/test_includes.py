"""`includes`: what must be in the text, all of it or some."""

from typing import Any

import pytest
from pydantic import ValidationError

from agentbench.core.errors import UserError
from agentbench.core.trace import Trace
from agentbench.scorers.text import IncludesConfig, IncludesScorer
from tests.fakes import a_case


@pytest.mark.parametrize(
    ("options", "expected", "output", "passed", "value"),
    [
        ({}, "Paris", "It is Paris.", True, 1.0),
        ({}, ["Paris", "Rome"], "It is Paris.", False, 0.5),
        ({"which": "any"}, ["Paris", "Rome"], "It is Paris.", True, 0.5),
        ({"which": "any"}, ["Oslo", "Rome"], "It is Paris.", False, 0.0),
        ({"ignore_case": False}, "paris", "It is Paris.", False, 0.0),
        ({}, "PARIS", "It is Paris.", True, 1.0),
        ({}, {"includes": ["Paris"], "state": {}}, "It is Paris.", True, 1.0),
        ({}, " Paris\n", "It is Paris.", True, 1.0),
        ({"strip": False}, " Paris\n", "It is Paris.", False, 0.0),
        ({"texts": ["is"]}, None, "It is Paris.", True, 1.0),
        ({}, [21], "21 °C", True, 1.0),
    ],
)
async def test_what_is_found_passes(
    options: dict[str, Any], expected: Any, output: str, passed: bool, value: float
) -> None:
    score = await IncludesScorer(IncludesConfig(**options)).score(a_case(expected=expected), Trace(output=output))
    assert (score.passed, score.value) == (passed, value)


async def test_the_reason_names_what_is_missing() -> None:
    score = await IncludesScorer(IncludesConfig()).score(a_case(expected=["Rome", "Oslo"]), Trace(output="Oslo"))
    assert "['Rome']" in score.reason


@pytest.mark.parametrize("expected", [None, [], {"a": 1}, [None]])
async def test_nothing_to_look_for_is_the_suites_mistake(expected: Any) -> None:
    with pytest.raises(UserError, match=r"case 'c1': .*includes needs a text or a list of texts"):
        await IncludesScorer(IncludesConfig()).score(a_case(expected=expected), Trace(output="x"))


def test_an_empty_list_of_texts_is_refused() -> None:
    with pytest.raises(ValidationError):
        IncludesConfig(texts=())
