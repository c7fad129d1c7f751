"""Scorer of the way an agent took: the tool calls it made, in what order, with what arguments."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.expected import expected_of, shown
from agentbench.trace import ToolCall, Trace

Mode = Literal["strict", "unordered", "subset", "superset"]
Matcher = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]


class TrajectoryConfig(BaseModel):
    """Options of the `trajectory` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Field(
        "strict",
        description="strict: these calls in this order. unordered: these in any order. subset: no other than these."
        " superset: at least these.",
    )
    arguments: str = Field("exact", description="exact, ignore, or module:function of (made, expected) that says.")
    only_executed: bool = Field(False, description="Leave out calls that had an error.")


class TrajectoryScorer:
    """Compares the calls made with `expected["trajectory"]`, a list of `{name, arguments}`.

    The value is the F1 of the calls matched one to one (in their order for `strict`).
    """

    Config = TrajectoryConfig
    name = "trajectory"

    def __init__(self, config: TrajectoryConfig) -> None:
        self._config = config
        self._same_arguments = _matcher(config.arguments)

    async def score(self, case: Case, trace: Trace) -> Score:
        expected = _expected(case)
        made = [call for call in trace.tool_calls if not (self._config.only_executed and call.error)]
        matched = self._in_order(made, expected) if self._config.mode == "strict" else self._any_order(made, expected)
        passed = _passes(self._config.mode, len(matched), len(made), len(expected))
        value = 2 * len(matched) / (len(made) + len(expected)) if made or expected else 1.0
        return Score(name=self.name, value=value, passed=passed, reason=_reason(matched, made, expected))

    def _same(self, call: ToolCall, expected: Mapping[str, Any]) -> bool:
        return call.name == expected["name"] and self._same_arguments(call.arguments, expected.get("arguments") or {})

    def _in_order(self, made: Sequence[ToolCall], expected: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
        """The longest common subsequence as (made, expected) pairs."""
        longest = [[0] * (len(expected) + 1) for _ in range(len(made) + 1)]
        for i in reversed(range(len(made))):
            for j in reversed(range(len(expected))):
                here = longest[i + 1][j + 1] + 1 if self._same(made[i], expected[j]) else 0
                longest[i][j] = max(here, longest[i + 1][j], longest[i][j + 1])
        pairs, i, j = [], 0, 0
        while i < len(made) and j < len(expected):
            if self._same(made[i], expected[j]) and longest[i][j] == longest[i + 1][j + 1] + 1:
                pairs.append((i, j))
                i, j = i + 1, j + 1
            elif longest[i + 1][j] >= longest[i][j + 1]:
                i += 1
            else:
                j += 1
        return pairs

    def _any_order(self, made: Sequence[ToolCall], expected: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
        """The most pairs that can be made, each call used once (assignment problem, SciPy's Jonker-Volgenant)."""
        from scipy.optimize import linear_sum_assignment

        if not made or not expected:
            return []
        same = np.array([[self._same(call, option) for option in expected] for call in made])
        rows, columns = linear_sum_assignment(same, maximize=True)
        return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if same[i, j]]


def _passes(mode: Mode, matched: int, made: int, expected: int) -> bool:
    if mode == "subset":
        return matched == made
    if mode == "superset":
        return matched == expected
    return matched == made == expected


def _expected(case: Case) -> list[Mapping[str, Any]]:
    expected = expected_of(case, "trajectory")
    if isinstance(expected, list) and all(isinstance(call, Mapping) and "name" in call for call in expected):
        return expected
    raise UserError(
        f"case {case.id!r}: expected = {shown(expected)}; trajectory needs a list of {{name, arguments}},"
        " there or in expected.trajectory"
    )


def _reason(matched: list[tuple[int, int]], made: Sequence[ToolCall], expected: Sequence[Mapping[str, Any]]) -> str:
    missing = [dict(option) for j, option in enumerate(expected) if j not in {pair[1] for pair in matched}]
    extra = [f"{call.name}({dict(call.arguments)})" for i, call in enumerate(made) if i not in {p[0] for p in matched}]
    parts = [f"{len(matched)} of {len(expected)} expected calls, {len(made)} made"]
    parts += [f"not made: {shown(missing[0])}"] if missing else []
    parts += [f"not expected: {extra[0][:200]}"] if extra else []
    return "; ".join(parts)


def _matcher(name: str) -> Matcher:
    if name == "exact":
        return lambda made, expected: dict(made) == dict(expected)
    if name == "ignore":
        return lambda made, expected: True
    module, _, function = name.partition(":")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"trajectory: arguments = {name!r}: use exact, ignore or module:function ({error})") from None
    return lambda made, expected: bool(found(dict(made), dict(expected)))
