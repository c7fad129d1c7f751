"""The scorers that need no model pass the contract."""

from typing import Any

import pytest

from agentbench.core.case import Case
from agentbench.core.protocols import Scorer
from agentbench.suite import registry
from agentbench.suite.config import Component
from agentbench.testing import ScorerContract

SCORERS: dict[str, tuple[dict[str, Any], Any]] = {
    "exact": ({}, "hello"),
    "includes": ({}, "hello"),
    "regex": ({"pattern": "h.*o"}, None),
    "numeric": ({}, 3.5),
    "json_schema": ({"schema": {"type": "object"}}, None),
}


@pytest.mark.parametrize("name", SCORERS)
class TestScorers(ScorerContract):
    @pytest.fixture
    def scorer(self, name: str) -> Scorer:
        scorer: Scorer = registry.build("scorers", Component(name=name, **SCORERS[name][0]))
        return scorer

    @pytest.fixture
    def case(self, name: str) -> Case:
        return Case(id="one", messages=({"role": "user", "content": "Hi"},), expected=SCORERS[name][1])
