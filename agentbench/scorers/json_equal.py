"""Scorer of a final text that should be JSON."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.closeness import is_close
from agentbench.scorers.expected import expected_of
from agentbench.scorers.json_schema import refused_constant
from agentbench.trace import Trace


class JsonEqualConfig(BaseModel):
    """Options of the `json_equal` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Relative difference at which numbers are still equal."
    )


class JsonEqualScorer:
    """Passes when the final text is JSON and equals `expected`; key order and 1 against 1.0 do not matter."""

    Config = JsonEqualConfig
    name: str = "json_equal"

    def __init__(self, config: JsonEqualConfig) -> None:
        self._tolerance = config.tolerance

    def check(self, case: Case) -> None:
        if case.expected is None:
            raise UserError(
                f"case {case.id!r} has no expected value; json_equal needs one (null is written as"
                ' {"json_equal": null})'
            )

    async def score(self, case: Case, trace: Trace) -> Score:
        try:
            value = json.loads(trace.answer, parse_constant=refused_constant)
        # ValueError is also what an integer of more than 4300 digits raises.
        except (ValueError, RecursionError) as error:
            return Score(name=self.name, value=0.0, passed=False, reason=f"the answer is not JSON: {error}")
        reason = self._difference(expected_of(case, self.name, "json_equal"), value, "$")
        return Score(name=self.name, value=float(reason is None), passed=reason is None, reason=reason or "equal")

    def _difference(self, expected: Any, value: Any, path: str) -> str | None:
        """The first place where they differ, as a JSON path and both values; None when they are equal."""
        if isinstance(expected, dict) and isinstance(value, dict):
            if expected.keys() != value.keys():
                missing, extra = (
                    sorted(expected.keys() - value.keys()),
                    sorted(value.keys() - expected.keys()),
                )
                return f"{path}: missing keys {missing}, unexpected keys {extra}"
            pairs = [(expected[key], value[key], f"{path}.{key}") for key in expected]
        elif isinstance(expected, list) and isinstance(value, list):
            if len(expected) != len(value):
                return f"{path}: expected {len(expected)} items, got {len(value)}"
            pairs = [(e, v, f"{path}[{i}]") for i, (e, v) in enumerate(zip(expected, value, strict=True))]
        else:
            return None if self._same(expected, value) else f"{path}: expected {expected!r}, got {value!r}"
        return next((found for e, v, at in pairs if (found := self._difference(e, v, at))), None)

    def _same(self, expected: Any, value: Any) -> bool:
        numbers = isinstance(expected, int | float) and isinstance(value, int | float)
        if not numbers or isinstance(expected, bool) or isinstance(value, bool):
            return type(expected) is type(value) and bool(expected == value)
        return bool(expected == value) or is_close(expected, value, relative=self._tolerance)
