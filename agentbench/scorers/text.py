"""Scorers of the final text: equal to an expected text, or matching a pattern."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.trace import Trace


class ExactConfig(BaseModel):
    """Options of the `exact` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strip: bool = Field(True, description="Ignore white space at both ends.")
    ignore_case: bool = False


class ExactScorer:
    """Passes when the final text equals `expected`, or one of them when it is a list."""

    Config = ExactConfig
    name = "exact"

    def __init__(self, config: ExactConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        if case.expected is None:
            raise UserError(f"case {case.id!r} has no expected text; exact needs a text or a list of accepted ones")
        accepted = case.expected if isinstance(case.expected, list) else [case.expected]
        passed = self._plain(trace.output) in [self._plain(text) for text in accepted]
        reason = "equal" if passed else f"expected {_one_of(accepted)}, got {trace.output!r}"
        return Score(name=self.name, value=float(passed), passed=passed, reason=reason)

    def _plain(self, value: Any) -> str:
        text = str(value)
        text = text.strip() if self._config.strip else text
        return text.casefold() if self._config.ignore_case else text


def _one_of(accepted: list[Any]) -> str:
    return " or ".join(repr(text) for text in accepted)


class RegexConfig(BaseModel):
    """Options of the `regex` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: str | None = Field(None, description="The pattern; the case's `expected` by default.")
    full: bool = Field(False, description="The whole text must match, not a part of it.")
    ignore_case: bool = False

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value


class RegexScorer:
    """Passes when the pattern is found in the final text."""

    Config = RegexConfig
    name = "regex"

    def __init__(self, config: RegexConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        pattern = self._config.pattern if self._config.pattern is not None else case.expected
        compiled = self._compiled(case, pattern)
        found = compiled.fullmatch(trace.output) if self._config.full else compiled.search(trace.output)
        reason = f"{found[0]!r} matches {pattern!r}" if found else f"{trace.output!r} does not match {pattern!r}"
        return Score(name=self.name, value=float(bool(found)), passed=bool(found), reason=reason)

    def _compiled(self, case: Case, pattern: Any) -> re.Pattern[str]:
        try:
            return re.compile(pattern, re.DOTALL | (re.IGNORECASE if self._config.ignore_case else 0))
        except (re.error, TypeError) as error:
            raise UserError(
                f"case {case.id!r}: expected = {pattern!r} is not a regular expression: {error}."
                " Give one there or as the scorer's pattern."
            ) from None
