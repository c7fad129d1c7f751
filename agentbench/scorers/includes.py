"""Scorer of a final text that must say certain things."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.expected import expected_of, shown
from agentbench.trace import Trace


class IncludesConfig(BaseModel):
    """Options of the `includes` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    which: Literal["all", "any"] = Field("all", description="How many of the expected texts must be there.")
    ignore_case: bool = True


class IncludesScorer:
    """Passes when the final text contains `expected` (or `expected["includes"]`): a text, or a list of them.

    The value is the share of them that it contains.
    """

    Config = IncludesConfig
    name = "includes"

    def __init__(self, config: IncludesConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        expected = expected_of(case, "includes")
        texts = [expected] if isinstance(expected, str) else expected
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise UserError(f"case {case.id!r}: expected = {shown(expected)}; includes needs a text or a list of texts")
        said = self._plain(trace.output)
        missing = [text for text in texts if self._plain(text) not in said]
        passed = len(missing) < len(texts) if self._config.which == "any" else not missing
        reason = f"not there: {', '.join(map(shown, missing))}" if missing else "all there"
        return Score(name=self.name, value=1 - len(missing) / len(texts), passed=passed, reason=reason)

    def _plain(self, text: str) -> str:
        return text.casefold() if self._config.ignore_case else text
