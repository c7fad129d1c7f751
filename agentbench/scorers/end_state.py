"""Scorer of the state that the tools were left in."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.brief import brief
from agentbench.scorers.state_diff import Difference, Path, differences, leaves, parse_path, picked
from agentbench.trace import Trace

TOLD = 3
"""Differences that a reason names."""


class EndStateConfig(BaseModel):
    """Options of the `end_state` scorer. A path is dotted (`orders.0.status`) or a JSON pointer (`/orders/0/status`);
    `*` stands for every key or index."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paths: tuple[str, ...] = Field((), description="Compare only what is at these paths; all by default.")
    ignore: tuple[str, ...] = Field((), description="Leave out what is at these paths.")
    tolerance: float = Field(0.0, ge=0, description="Absolute difference at which numbers are still equal.")


class EndStateScorer:
    """Passes when the tools' end state equals `expected["state"]`; the value is the share of its values that do."""

    Config = EndStateConfig
    name: str = "end_state"

    def __init__(self, config: EndStateConfig) -> None:
        self._paths = tuple(map(parse_path, config.paths)) or ((),)
        self._ignored = tuple(map(parse_path, config.ignore))
        self._tolerance = config.tolerance

    async def score(self, case: Case, trace: Trace) -> Score:
        expected = _expected(case)
        found: list[Difference] = []
        total = 0
        for path in self._compared(case, expected):
            pair = picked(expected, path), picked(trace.state, path)
            total += leaves(pair[0], path, self._ignored)
            found += differences(*pair, path, self._ignored, self._tolerance)
        wrong = sum(leaves(each.expected, each.path, self._ignored) for each in found)
        value = max(0.0, 1 - wrong / max(total, 1))
        return Score(name=self.name, value=value, passed=not found, reason=_reason(found, trace.state))

    def _compared(self, case: Case, expected: Any) -> list[Path]:
        """The option's paths, those with a `*` once for each key that the expected state has there."""
        paths = [found for path in self._paths for found in _expanded(expected, path, ())]
        if not paths:
            raise UserError(f"case {case.id!r}: expected['state'] has nothing at the scorer's paths")
        return list(dict.fromkeys(paths))


def _expected(case: Case) -> Any:
    if not isinstance(case.expected, Mapping) or "state" not in case.expected:
        raise UserError(f'case {case.id!r}: expected = {brief(case.expected)}; end_state needs {{"state": …}}')
    return case.expected["state"]


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
