"""Scorer that leaves the verdict to a person."""

from pydantic import BaseModel, ConfigDict

from agentbench.case import Case
from agentbench.score import Score
from agentbench.trace import Trace

WAITS = "waits for review"


class HumanConfig(BaseModel):
    """The `human` scorer has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HumanScorer:
    """Says that the verdict is still to come: `agentbench review` and `label` give it, and the store fills it in."""

    Config = HumanConfig
    name: str = "human"

    def __init__(self, config: HumanConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        return Score(name=self.name, value=0.0, passed=None, reason=WAITS)
