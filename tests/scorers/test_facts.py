"""The facts scorer: what is covered, what is made up, and what becomes of both together."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.core.errors import UserError
from agentbench.core.trace import Trace
from agentbench.scorers.facts import FactsConfig, FactsScorer
from tests.fakes import a_case

EXPECTED: dict[str, Any] = {
    "facts": [
        {"fact": "the review is at 14:30", "accept": [r"\b14[:.]30\b", r"\b2:30 ?pm"]},
        {"fact": "down for 38 minutes", "accept": [r"\b38 min"]},
    ],
    "false": [
        {"fact": "the review at 14:00", "pattern": r"\b14:00", "unless": r"\b14:30"},
        {"fact": "down for 45 minutes", "pattern": r"\b45 min"},
    ],
}


async def value(text: str, measure: Literal["f1", "recall", "precision"]) -> float:
    scorer = FactsScorer(FactsConfig(measure=measure))
    return (await scorer.score(a_case(expected=EXPECTED), Trace(output=text))).value


@pytest.mark.parametrize(
    ("text", "recall", "precision", "f1"),
    [
        ("The review is at 2:30 PM; 38\nminutes of downtime.", 1, 1, 1),
        ("Moved from 14:00 to 14:30.", 0.5, 1, 2 / 3),
        ("The review is at 14:00.", 0, 0, 0),
        ("At 14:30. Down for 45 minutes, or 38 minutes.", 1, 2 / 3, 0.8),
        ("", 0, 1, 0),
    ],
)
async def test_measures(text: str, recall: float, precision: float, f1: float) -> None:
    assert await value(text, "recall") == recall
    assert await value(text, "precision") == pytest.approx(precision)
    assert await value(text, "f1") == pytest.approx(f1)


async def test_the_reason_names_what_is_missing_and_what_was_made_up() -> None:
    scorer = FactsScorer(FactsConfig(measure="recall", at_least=0.5))
    score = await scorer.score(a_case(expected=EXPECTED), Trace(output="At 14:30, after 45 minutes."))
    assert score.passed
    assert score.reason == "1 of 2 facts covered, without down for 38 minutes; 1 invented: down for 45 minutes"


@pytest.mark.parametrize(
    "expected",
    ["text", {"facts": []}, {"facts": [{"fact": "x", "accept": ["("]}]}, {"facts": [{"fact": "x", "accept": "x"}]}],
)
async def test_a_case_that_does_not_fit_is_the_users_mistake(expected: Any) -> None:
    with pytest.raises(UserError, match="facts needs"):
        await FactsScorer(FactsConfig()).score(a_case(expected=expected), Trace(output="x"))


PHRASES = st.lists(st.sampled_from(["At 14:30", "2:30 pm", "14:00", "38 minutes", "45 min", "nothing", ";"])).map(
    " ".join
)


@given(PHRASES, PHRASES)
async def test_saying_more_never_covers_less(text: str, more: str) -> None:
    assert await value(f"{text} {more}", "recall") >= await value(text, "recall")
    assert 0 <= await value(text, "f1") <= 1
