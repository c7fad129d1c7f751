"""Scorer that leaves the verdict to people."""

from pydantic import BaseModel, ConfigDict

from agentbench.case import Case
from agentbench.score import Score
from agentbench.trace import Trace


class HumanConfig(BaseModel):
    """The `human` scorer has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HumanScorer:
    """Puts every attempt in the queue for review (`agentbench review RUN`): its verdict is the labels' majority."""

    Config = HumanConfig
    name = "human"

    def __init__(self, config: HumanConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        return Score(name=self.name, value=0.0, passed=None, reason="waits for review")
