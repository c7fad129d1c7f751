"""The contract of a scorer."""

import asyncio
import math
from copy import deepcopy

import pytest

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.protocols import Scorer
from agentbench.core.trace import Trace
from agentbench.testing.hostile import HOSTILE


class ScorerContract:
    """Fixtures of a subclass: `scorer`, and `case`, a case that the scorer can grade."""

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    def test_it_grades_whatever_a_model_writes(self, scorer: Scorer, case: Case, text: str) -> None:
        score = _score(scorer, case, text)
        assert math.isfinite(score.value)
        assert 0 <= score.value <= 1
        assert score.name == scorer.name
        assert isinstance(score.reason, str)

    def test_the_same_attempt_has_the_same_score(self, scorer: Scorer, case: Case) -> None:
        assert _score(scorer, case, "hello") == _score(scorer, case, "hello")

    def test_attempts_can_be_graded_concurrently(self, scorer: Scorer, case: Case) -> None:
        texts = ("hello", "", "something else", "{}")

        async def concurrent_scores() -> list[Score]:
            return await asyncio.gather(*(scorer.score(case, Trace(output=text)) for text in texts * 4))

        assert asyncio.run(concurrent_scores()) == [_score(scorer, case, text) for text in texts] * 4

    def test_grading_changes_neither_case_nor_trace(self, scorer: Scorer, case: Case) -> None:
        trace, before = Trace(output='{"a": 1}'), deepcopy(case)
        asyncio.run(scorer.score(case, trace))
        assert (case, trace) == (before, Trace(output='{"a": 1}'))


def _score(scorer: Scorer, case: Case, text: str) -> Score:
    return asyncio.run(scorer.score(case, Trace(output=text)))
