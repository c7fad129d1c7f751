"""Scorer of a final text that must contain others."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.brief import brief
from agentbench.scorers.expected import expected_of
from agentbench.scorers.text import texts_of
from agentbench.trace import Trace


class IncludesConfig(BaseModel):
    """Options of the `includes` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    which: Literal["all", "any"] = Field("all", description="How many of the texts must be there.")
    ignore_case: bool = True
    strip: bool = Field(True, description="Ignore white space at both ends of each text that is looked for.")
    # After the field that its check reads.
    texts: tuple[str, ...] | None = Field(None, min_length=1, description="What is looked for; `expected` by default.")

    @field_validator("texts")
    @classmethod
    def _can_grade(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if value is not None and (found := _in_any_answer(value, info.data.get("strip", True))) is not None:
            raise ValueError(f"{found!r} is in every answer; name what has to be there")
        return value


class IncludesScorer:
    """Passes when the final text contains all (or any) of the texts: those of the option, else of `expected` or its
    `includes`. The value is the share that it contains."""

    Config = IncludesConfig
    name: str = "includes"

    def __init__(self, config: IncludesConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        self._wanted(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        wanted = self._wanted(case)
        output = self._folded(trace.answer)
        missing = [text for text in wanted if self._folded(text.strip() if self._config.strip else text) not in output]
        found = len(wanted) - len(missing)
        passed = not missing if self._config.which == "all" else found > 0
        return Score(
            name=self.name, value=found / len(wanted), passed=passed, reason=_reason(len(wanted), missing, trace.answer)
        )

    def _wanted(self, case: Case) -> tuple[str, ...]:
        if self._config.texts is not None:
            return self._config.texts
        expected = expected_of(case, self.name, "includes")
        texts = texts_of(case, expected, "includes needs a text or a list of texts")
        if (found := _in_any_answer(texts, self._config.strip)) is not None:
            raise UserError(
                f"case {case.id!r}: expected = {brief(expected)}: {found!r} is in every answer; includes needs a text"
                " that has to be there"
            )
        return texts

    def _folded(self, text: str) -> str:
        return text.casefold() if self._config.ignore_case else text


def _reason(wanted: int, missing: list[str], output: str) -> str:
    if not missing:
        return f"contains all {wanted}" if wanted > 1 else "contains it"
    return f"{len(missing)} of {wanted} not in {brief(output)}: {brief(missing)}"


def _in_any_answer(texts: Sequence[str], strip: bool) -> str | None:
    """The first of the texts that is empty as it is looked for."""
    return next((text for text in texts if not (text.strip() if strip else text)), None)
