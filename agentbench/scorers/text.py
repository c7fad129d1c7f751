"""Scorers of the final text: `exact`, `regex`, `includes`, `numeric`, and `human`, which leaves the verdict to a
person.
"""

import re
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.trace import Trace
from agentbench.scorers.expected import brief, compiled, cut_middle, exact, expected_of, is_close


class ExactConfig(BaseModel):
    """Options of the `exact` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strip: bool = Field(True, description="Ignore white space at both ends.")
    ignore_case: bool = False


class ExactScorer:
    """Passes when the final text equals `expected`, or an item of it when it is a list."""

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
    """`expected` as texts, numbers as written; `UserError` with `need` for anything else."""
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
    # Declared after the fields that its validator reads.
    pattern: str | None = Field(None, description="The pattern; the case's `expected` by default.")

    @field_validator("pattern")
    @classmethod
    def _can_grade(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            compiled(value, ignore_case=info.data.get("ignore_case", False), full=info.data.get("full", False))
        return value


class RegexScorer:
    """Passes when the pattern matches in the final text."""

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
        own_pattern = self._config.pattern
        pattern = own_pattern if own_pattern is not None else expected_of(case, self.name, "regex")
        try:
            return compiled(pattern, ignore_case=self._config.ignore_case, full=self._config.full)
        except ValueError as error:
            raise UserError(
                f"case {case.id!r}: expected = {brief(pattern)} is {error}. Give one there or as the scorer's pattern."
            ) from None


class IncludesConfig(BaseModel):
    """Options of the `includes` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    which: Literal["all", "any"] = Field("all", description="How many of the texts must be found.")
    ignore_case: bool = True
    strip: bool = Field(True, description="Ignore white space at both ends of each text that is looked for.")
    # Declared after the field that its validator reads.
    texts: tuple[str, ...] | None = Field(None, min_length=1, description="The texts to find; `expected` by default.")

    @field_validator("texts")
    @classmethod
    def _can_grade(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if value is not None and (found := _in_any_answer(value, info.data.get("strip", True))) is not None:
            raise ValueError(f"{found!r} is in every answer; name a text that must be there")
        return value


class IncludesScorer:
    """Passes when the final text contains all (or any) of the texts.

    The texts are the option's, otherwise `expected` or its `includes`. The value is the share of texts found.
    """

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
                " that must be there"
            )
        return texts

    def _folded(self, text: str) -> str:
        return text.casefold() if self._config.ignore_case else text


def _reason(wanted: int, missing: list[str], output: str) -> str:
    if not missing:
        return f"contains all {wanted}" if wanted > 1 else "contains it"
    return f"{len(missing)} of {wanted} not in {brief(output)}: {brief(missing)}"


def _in_any_answer(texts: Sequence[str], strip: bool) -> str | None:
    """The first text that is empty after folding, and would be found in any answer."""
    return next((text for text in texts if not (text.strip() if strip else text)), None)


NUMBER = re.compile(r"(?:(?<![\w)])[-+])?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
"""A sign counts only where no operand stands before it: the last number of "3-5" is 5."""

DIGITS = 100
"""Characters of a number that a reason has."""

READING = Context(traps=[])
"""An exponent beyond what Decimal holds is read as NaN, which equals nothing."""


class NumericConfig(BaseModel):
    """Options of the `numeric` scorer.

    Without a tolerance, an integer must be equal, and a decimal must agree to as many places as `expected` has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rel_tolerance: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Relative difference that still passes."
    )
    abs_tolerance: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Absolute difference that still passes."
    )


class NumericScorer:
    """Passes when the last number in the final text equals `expected`, within either tolerance if given."""

    Config = NumericConfig
    name: str = "numeric"

    def __init__(self, config: NumericConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        self._expected(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        expected = self._expected(case)
        value = last_number(trace.answer)
        if value is None:
            return Score(name=self.name, value=0.0, passed=False, reason=f"no number in {brief(trace.answer)}")
        passed = self._meets(value, expected)
        reason = f"got {_digits(value)}, expected {_digits(expected)}{self._how(expected)}"
        return Score(name=self.name, value=float(passed), passed=passed, reason=reason)

    def _meets(self, value: Decimal, expected: Decimal) -> bool:
        if not self._has_tolerance:
            return is_close(value, expected, absolute=_half_of_last_place(expected))
        return is_close(
            value, expected, relative=self._config.rel_tolerance or 0.0, absolute=self._config.abs_tolerance or 0.0
        )

    @property
    def _has_tolerance(self) -> bool:
        return self._config.rel_tolerance is not None or self._config.abs_tolerance is not None

    def _how(self, expected: Decimal) -> str:
        places = _places(expected)
        return "" if self._has_tolerance or not places else f" to {places} place{'s' if places > 1 else ''}"

    def _expected(self, case: Case) -> Decimal:
        expected = expected_of(case, self.name, "numeric")
        if isinstance(expected, bool) or not isinstance(expected, int | float) or not exact(expected).is_finite():
            raise UserError(f"case {case.id!r}: expected = {brief(expected)}; numeric needs a number")
        return exact(expected)


def _places(number: Decimal) -> int:
    """Digits after the point in JSON: 3.14 has two, 3.0 one, 3 and 1e22 none."""
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _half_of_last_place(number: Decimal) -> Decimal:
    places = _places(number)
    return Decimal(5).scaleb(-places - 1) if places else Decimal(0)


def _digits(number: Decimal) -> str:
    return cut_middle(str(number), DIGITS, "…")


def last_number(text: str) -> Decimal | None:
    """The last number in `text` (1,234.5 and 1e-3 are numbers) with all its digits, or None."""
    found = NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))
    return Decimal(found[-1].replace(",", ""), READING) if found else None


WAITS = "waits for review"


class HumanConfig(BaseModel):
    """The `human` scorer has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HumanScorer:
    """Leaves the verdict undecided: `agentbench review` and `label` provide it, and the store fills it in."""

    Config = HumanConfig
    name: str = "human"

    def __init__(self, config: HumanConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        return Score(name=self.name, value=0.0, passed=None, reason=WAITS)
