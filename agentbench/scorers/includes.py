"""Scorer of a final text that must contain others."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.brief import brief
from agentbench.scorers.expected import expected_of
from agentbench.trace import Trace


class IncludesConfig(BaseModel):
    """Options of the `includes` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: tuple[str, ...] | None = Field(None, min_length=1, description="What is looked for; `expected` by default.")
    which: Literal["all", "any"] = Field("all", description="How many of the texts must be there.")
    ignore_case: bool = True
    strip: bool = Field(True, description="Ignore white space at both ends of each text that is looked for.")


class IncludesScorer:
    """Passes when the final text contains all (or any) of the texts: those of the option, else of `expected` or its
    `includes`. The value is the share that it contains."""

    Config = IncludesConfig
    name: str = "includes"

    def __init__(self, config: IncludesConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        wanted = self._config.texts or _expected(case)
        output = self._folded(trace.output)
        missing = [text for text in wanted if self._folded(text.strip() if self._config.strip else text) not in output]
        found = len(wanted) - len(missing)
        passed = not missing if self._config.which == "all" else found > 0
        return Score(
            name=self.name, value=found / len(wanted), passed=passed, reason=_reason(len(wanted), missing, trace.output)
        )

    def _folded(self, text: str) -> str:
        return text.casefold() if self._config.ignore_case else text


def _reason(wanted: int, missing: list[str], output: str) -> str:
    if not missing:
        return f"contains all {wanted}" if wanted > 1 else "contains it"
    return f"{len(missing)} of {wanted} not in {brief(output)}: {brief(missing)}"


def _expected(case: Case) -> tuple[str, ...]:
    expected = expected_of(case, "includes")
    texts: list[Any] = expected if isinstance(expected, list) else [expected]
    if not texts or not all(isinstance(text, str | int | float) for text in texts):
        raise UserError(f"case {case.id!r}: expected = {brief(expected)}; includes needs a text or a list of texts")
    return tuple(map(str, texts))
