"""Scorer of a final text whose last number is the answer."""

import math
import re

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.trace import Trace

NUMBER = re.compile(r"(?:(?<![\w)])[-+])?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
"""A sign counts only where no operand stands before it: the last number of "3-5" is 5."""


class NumericConfig(BaseModel):
    """Options of the `numeric` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rel_tolerance: float = Field(1e-3, ge=0, description="Relative difference that still passes.")
    abs_tolerance: float = Field(1e-9, ge=0, description="Absolute difference that still passes.")


class NumericScorer:
    """Passes when the last number in the final text is `expected` within either tolerance."""

    Config = NumericConfig
    name = "numeric"

    def __init__(self, config: NumericConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        value = last_number(trace.output)
        if value is None:
            return Score(name=self.name, value=0.0, passed=False, reason=f"no number in {trace.output!r}")
        expected = _expected(case)
        limits = {"rel_tol": self._config.rel_tolerance, "abs_tol": self._config.abs_tolerance}
        passed = math.isclose(value, expected, **limits)
        return Score(name=self.name, value=float(passed), passed=passed, reason=f"got {value:g}, expected {expected:g}")


def _expected(case: Case) -> float:
    if isinstance(case.expected, bool) or not isinstance(case.expected, int | float):
        raise UserError(f"case {case.id!r}: expected = {case.expected!r}; numeric needs a number")
    return float(case.expected)


def last_number(text: str) -> float | None:
    """The last number written in `text` (1,234.5 and 1e-3 are numbers), None when there is none."""
    found = NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))
    return float(found[-1].replace(",", "")) if found else None
