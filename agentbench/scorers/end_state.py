"""Scorer of the state that the tools were left in."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.brief import brief
from agentbench.scorers.state_diff import Difference, Path, Rules, differences, leaves, parse_path, picked
from agentbench.trace import Trace

TOLD = 3
"""Differences that a reason names."""


class EndStateConfig(BaseModel):
    """Options of the `end_state` scorer. A path is dotted (`orders.0.status`) or a JSON pointer (`/orders/0/status`);
    `*` stands for every key or index."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field("state", description="Where in `expected` the state is.")
    absent: bool = Field(False, description="Pass when the state is not so: what must not have happened did not.")
    partial: bool = Field(False, description="Look only at what `expected` names; the rest may be anything.")
    paths: tuple[str, ...] = Field((), description="Compare only what is at these paths; all by default.")
    ignore: tuple[str, ...] = Field((), description="Leave out what is at these paths.")
    tolerance: float = Field(
        1e-9, ge=0, allow_inf_nan=False, description="Absolute difference at which numbers are still equal."
    )


class EndStateScorer:
    """Passes when the tools' end state equals `expected["state"]`; the value is the share of its values that do."""

    Config = EndStateConfig
    name: str = "end_state"

    def __init__(self, config: EndStateConfig) -> None:
        self._config = config
        self._paths = tuple(map(parse_path, config.paths)) or ((),)
        ignored = tuple(map(parse_path, config.ignore))
        self._rules = Rules(ignored=ignored, tolerance=config.tolerance, partial=config.partial)

    def check(self, case: Case) -> None:
        expected = self._expected(case)
        compared = [(picked(expected, path), path) for path in self._compared(case, expected)]
        nothing = self._config.partial and all(value == {} for value, _ in compared)
        if nothing or not sum(leaves(value, path, self._rules) for value, path in compared):
            raise UserError(
                f"case {case.id!r}: expected.{self._config.key} = {brief(expected)}: nothing of it is compared, so that"
                " any state would do; name what has to be there"
            )

    async def score(self, case: Case, trace: Trace) -> Score:
        expected = self._expected(case)
        paths = self._compared(case, expected)
        found = [
            each
            for path in paths
            for each in differences(picked(expected, path), picked(trace.state, path), path, self._rules)
        ]
        if self._config.absent:
            reason = "it did not happen" if found else f"it happened: {brief(expected)}"
            return Score(name=self.name, value=float(bool(found)), passed=bool(found), reason=reason)
        total = sum(leaves(picked(expected, path), path, self._rules) for path in paths)
        wrong = sum(leaves(each.expected, each.path, self._rules) for each in found)
        value = max(0.0, 1 - wrong / max(total, 1))
        return Score(name=self.name, value=value, passed=not found, reason=_reason(found, trace.state))

    def _expected(self, case: Case) -> Any:
        key = self._config.key
        if not isinstance(case.expected, Mapping) or key not in case.expected:
            raise UserError(f"case {case.id!r}: expected = {brief(case.expected)}; end_state needs expected.{key}")
        return case.expected[key]

    def _compared(self, case: Case, expected: Any) -> list[Path]:
        """The option's paths, those with a `*` once for each key that the expected state has there."""
        paths = [found for path in self._paths for found in _expanded(expected, path, ())]
        if not paths:
            raise UserError(f"case {case.id!r}: expected.{self._config.key} has nothing at the scorer's paths")
        return list(dict.fromkeys(paths))


def _expanded(value: Any, path: Path, before: Path) -> list[Path]:
    if "*" not in path:
        return [(*before, *path)]
    star = path.index("*")
    head, rest = (*before, *path[:star]), path[star + 1 :]
    inner = picked(value, path[:star])
    keys = list(inner) if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
    return [found for key in keys for found in _expanded(picked(inner, (str(key),)), rest, (*head, str(key)))]


def _reason(found: list[Difference], state: Any) -> str:
    if not found:
        return "as expected"
    if state is None:
        return "the tools kept no state"
    more = f"; and {len(found) - TOLD} more" if len(found) > TOLD else ""
    return "; ".join(map(str, found[:TOLD])) + more
