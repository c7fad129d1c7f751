"""Scorers of the final text: equal to an expected text, or matching a pattern."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.brief import brief
from agentbench.scorers.expected import expected_of
from agentbench.scorers.pattern import compiled
from agentbench.trace import Trace


class ExactConfig(BaseModel):
    """Options of the `exact` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strip: bool = Field(True, description="Ignore white space at both ends.")
    ignore_case: bool = False


class ExactScorer:
    """Passes when the final text equals `expected`, or one of them when it is a list."""

    Config = ExactConfig
    name: str = "exact"

    def __init__(self, config: ExactConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        self._accepted(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        accepted = self._accepted(case)
        passed = self._plain(trace.answer) in [self._plain(text) for text in accepted]
        reason = "equal" if passed else f"expected {_one_of(accepted)}, got {brief(trace.answer)}"
        return Score(name=self.name, value=float(passed), passed=passed, reason=reason)

    def _plain(self, text: str) -> str:
        text = text.strip() if self._config.strip else text
        return text.casefold() if self._config.ignore_case else text

    def _accepted(self, case: Case) -> Sequence[str]:
        expected = expected_of(case, self.name, "exact")
        if expected is None:
            raise UserError(f"case {case.id!r} has no expected text; exact needs a text or a list of accepted ones")
        return texts_of(case, expected, "exact needs a text or a list of accepted ones")


def texts_of(case: Case, expected: Any, need: str) -> tuple[str, ...]:
    """`expected` as texts, a number as it is written; `UserError` with `need` for anything else."""
    texts: list[Any] = expected if isinstance(expected, list) else [expected]
    if not texts or not all(isinstance(text, str | int | float) and not isinstance(text, bool) for text in texts):
        raise UserError(f"case {case.id!r}: expected = {brief(expected)}; {need}")
    return tuple(map(str, texts))


def _one_of(accepted: Sequence[str]) -> str:
    return " or ".join(repr(text) for text in accepted)


class RegexConfig(BaseModel):
    """Options of the `regex` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    full: bool = Field(False, description="The whole text must match, not a part of it.")
    ignore_case: bool = False
    # After the fields that its check reads.
    pattern: str | None = Field(None, description="The pattern; the case's `expected` by default.")

    @field_validator("pattern")
    @classmethod
    def _can_grade(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            compiled(value, ignore_case=info.data.get("ignore_case", False), full=info.data.get("full", False))
        return value


class RegexScorer:
    """Passes when the pattern is found in the final text."""

    Config = RegexConfig
    name: str = "regex"

    def __init__(self, config: RegexConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        self._pattern(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        pattern = self._pattern(case)
        found = pattern.fullmatch(trace.answer) if self._config.full else pattern.search(trace.answer)
        shown = pattern.pattern
        reason = f"{brief(found[0])} matches {shown!r}" if found else f"{brief(trace.answer)} does not match {shown!r}"
        return Score(name=self.name, value=float(bool(found)), passed=bool(found), reason=reason)

    def _pattern(self, case: Case) -> re.Pattern[str]:
        given = self._config.pattern
        pattern = given if given is not None else expected_of(case, self.name, "regex")
        try:
            return compiled(pattern, ignore_case=self._config.ignore_case, full=self._config.full)
        except ValueError as error:
            raise UserError(
                f"case {case.id!r}: expected = {brief(pattern)} is {error}. Give one there or as the scorer's pattern."
            ) from None
