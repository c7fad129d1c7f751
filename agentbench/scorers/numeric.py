"""Scorer of a final text whose last number is the answer."""

import re
from decimal import Context, Decimal

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.brief import brief, cut_middle
from agentbench.scorers.closeness import exact, is_close
from agentbench.scorers.expected import expected_of
from agentbench.trace import Trace

NUMBER = re.compile(r"(?:(?<![\w)])[-+])?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
"""A sign counts only where no operand stands before it: the last number of "3-5" is 5."""

DIGITS = 100
"""Characters of a number that a reason has."""

READING = Context(traps=[])
"""An exponent beyond what Decimal holds is read as NaN, which equals nothing."""


class NumericConfig(BaseModel):
    """Options of the `numeric` scorer. With neither tolerance an integer has to be met exactly, and a decimal to as
    many places as `expected` has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rel_tolerance: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Relative difference that still passes."
    )
    abs_tolerance: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Absolute difference that still passes."
    )


class NumericScorer:
    """Passes when the last number in the final text is `expected`, within either tolerance where one is given."""

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
    """Digits after the point, as JSON gives them: 3.14 has two, 3.0 one, 3 and 1e22 none."""
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _half_of_last_place(number: Decimal) -> Decimal:
    places = _places(number)
    return Decimal(5).scaleb(-places - 1) if places else Decimal(0)


def _digits(number: Decimal) -> str:
    return cut_middle(str(number), DIGITS, "…")


def last_number(text: str) -> Decimal | None:
    """The last number written in `text` (1,234.5 and 1e-3 are numbers) with all its digits, None when there is none."""
    found = NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))
    return Decimal(found[-1].replace(",", ""), READING) if found else None
