"""The `trajectory` scorer: compares an agent's tool calls with the expected ones, in as many pairs as possible."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.trace import ToolCall, Trace
from agentbench.references import load_object
from agentbench.scorers.expected import brief, expected_of

Fits = Sequence[Sequence[bool]]
"""Whether the actual call of a row fits the expected call of a column: [actual, expected]."""

Pair = tuple[int, int]
"""Made, expected."""


def most_pairs(fits: Fits) -> list[Pair]:
    """A maximum matching in any order: pairs of row and column, each used at most once."""
    if not fits or not fits[0]:
        return []
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    weights = np.array(fits, dtype=np.int8)  # [actual, expected]
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if weights[row, column]]


def most_pairs_in_order(fits: Fits) -> list[Pair]:
    """The longest common subsequence: matching pairs that do not cross."""
    actual, expected = len(fits), len(fits[0]) if fits else 0
    # longest[i][j]: most pairs among the actual calls from i on and the expected calls from j on.
    longest = [[0] * (expected + 1) for _ in range(actual + 1)]
    for i in reversed(range(actual)):
        for j in reversed(range(expected)):
            skipped = max(longest[i + 1][j], longest[i][j + 1])
            longest[i][j] = max(skipped, 1 + longest[i + 1][j + 1]) if fits[i][j] else skipped
    pairs, i, j = [], 0, 0
    while i < actual and j < expected:
        if fits[i][j] and longest[i][j] == 1 + longest[i + 1][j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


Mode = Literal["strict", "unordered", "subset", "superset"]
ArgumentMatch = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
"""(actual arguments, expected arguments) → whether they fit."""

SHAPE = '{"trajectory": [{"name": …, "arguments": {…}}, …]}, or a list of such lists, one for each turn'
SHOWN = 3


class TrajectoryConfig(BaseModel):
    """Options of the `trajectory` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Field(
        "strict",
        description="strict: these calls in this order; unordered: these calls; subset: no others; superset: at least.",
    )
    arguments: str = Field(
        "exact", description="exact, subset (of the actual ones), ignore, or module:function of (actual, expected)."
    )
    only_executed: bool = Field(False, description="Leave out calls that had an error.")

    @field_validator("arguments")
    @classmethod
    def _check_matcher(cls, value: str) -> str:
        if value not in ARGUMENT_MATCHES:
            if ":" not in value:
                raise ValueError(f"use {', '.join(ARGUMENT_MATCHES)} or module:function")
            load_object(value)
        return value


class ExpectedCall(BaseModel):
    """A call that the agent should make."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    arguments: Mapping[str, Any] = Field(default_factory=dict)


class TrajectoryScorer:
    """Compares the agent's calls with `expected["trajectory"]`, turn by turn when that is a list of lists.

    The value is 2·matched / (actual + expected), where matched is the largest number of paired calls (in strict mode:
    in order). It passes when every turn meets the rule of the mode.
    """

    Config = TrajectoryConfig
    name: str = "trajectory"

    def __init__(self, config: TrajectoryConfig) -> None:
        self._mode: Mode = config.mode
        self._fits = ARGUMENT_MATCHES.get(config.arguments) or load_object(config.arguments)
        self._reads_arguments = config.arguments != "ignore"
        self._only_executed = config.only_executed

    def check(self, case: Case) -> None:
        turns = _turns(case, self._expected(case))
        if self._mode == "superset" and not any(turns):
            raise UserError(
                f"case {case.id!r}: expected names no call, so any calls would pass in mode superset; name the required"
                " calls, or use mode strict"
            )

    async def score(self, case: Case, trace: Trace) -> Score:
        expected = self._expected(case)
        turns = [self._turn(actual, wanted) for actual, wanted in _by_turn(expected, _turns(case, expected), trace)]
        both = sum(len(turn.actual) + len(turn.expected) for turn in turns)
        value = 2 * sum(len(turn.pairs) for turn in turns) / both if both else 1.0
        wrong = [(number, reason) for number, turn in enumerate(turns) if (reason := turn.mistake(self._mode))]
        parts = [f"turn {number + 1}: {reason}" if len(turns) > 1 else reason for number, reason in wrong[:SHOWN]]
        reason = "; ".join(parts) or "as expected"
        return Score(name=self.name, value=value, passed=not wrong, reason=reason)

    def _expected(self, case: Case) -> Sequence[Any]:
        expected = expected_of(case, self.name, "trajectory", "calls")
        if not isinstance(expected, list):
            raise _not_a_trajectory(case)
        return expected

    def _turn(self, actual: Sequence[ToolCall], expected: Sequence[ExpectedCall]) -> "Turn":
        actual = [call for call in actual if not (self._only_executed and call.error)]
        fits = [[self._fit(call, wanted) for wanted in expected] for call in actual]
        pairs = most_pairs_in_order(fits) if self._mode == "strict" else most_pairs(fits)
        return Turn(actual=actual, expected=expected, pairs=pairs)

    def _fit(self, call: ToolCall, wanted: ExpectedCall) -> bool:
        if call.name != wanted.name:
            return False
        if self._reads_arguments and call.error is not None and not call.executed and not call.arguments:
            return False  # the arguments could not be read
        return bool(self._fits(call.arguments, wanted.arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The calls of one turn, and the matching of actual with expected calls."""

    actual: Sequence[ToolCall]
    expected: Sequence[ExpectedCall]
    pairs: Sequence[Pair]

    def mistake(self, mode: Mode) -> str:
        """How the turn breaks the rule of `mode`; empty when it doesn't."""
        extra = [call for index, call in enumerate(self.actual) if index not in {actual for actual, _ in self.pairs}]
        missing = [call for index, call in enumerate(self.expected) if index not in {want for _, want in self.pairs}]
        parts = []
        if missing and mode != "subset":
            parts.append(f"expected and not made: {_listed(missing)}")
        if extra and mode != "superset":
            parts.append(f"made and not expected: {_listed(extra)}")
        order = " (in this order)" if mode == "strict" and missing and extra else ""
        return ", ".join(parts) + order


def _listed(calls: Sequence[ToolCall | ExpectedCall]) -> str:
    more = f" and {len(calls) - SHOWN} more" if len(calls) > SHOWN else ""
    return ", ".join(f"{brief(call.name)[1:-1]}({brief(dict(call.arguments))})" for call in calls[:SHOWN]) + more


def _turns(case: Case, expected: Sequence[Any]) -> list[tuple[ExpectedCall, ...]]:
    """The expected calls of each turn, or of the whole attempt as one turn."""
    return [_calls(case, turn) for turn in (expected if _has_turns(expected) else [expected])]


def _has_turns(expected: Sequence[Any]) -> bool:
    return bool(expected) and all(isinstance(turn, list) for turn in expected)


def _by_turn(
    expected: Sequence[Any], wanted: list[tuple[ExpectedCall, ...]], trace: Trace
) -> list[tuple[Sequence[ToolCall], Sequence[ExpectedCall]]]:
    """The actual and expected calls, per turn or for the whole attempt; a turn that one side lacks is empty."""
    if not _has_turns(expected):
        return [(trace.tool_calls, wanted[0])]
    actual = [[step for step in turn if isinstance(step, ToolCall)] for turn in trace.turns]
    count = max(len(actual), len(wanted))
    actual += [[] for _ in range(count - len(actual))]
    wanted = [*wanted, *(() for _ in range(count - len(wanted)))]
    return list(zip(actual, wanted, strict=True))


def _calls(case: Case, listed: Sequence[Any]) -> tuple[ExpectedCall, ...]:
    try:
        return tuple(map(ExpectedCall.model_validate, listed))
    except ValidationError:
        raise _not_a_trajectory(case) from None


def _not_a_trajectory(case: Case) -> UserError:
    return UserError(f"case {case.id!r}: expected = {brief(case.expected)}; trajectory needs {SHAPE}")


def same(actual: Any, expected: Any) -> bool:
    """Equal as JSON values: 1 equals 1.0, but not true."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return expected.keys() == actual.keys() and all(same(actual[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        return len(expected) == len(actual) and all(map(same, actual, expected))
    return isinstance(expected, bool) == isinstance(actual, bool) and bool(expected == actual)


def _subset(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return all(key in actual and same(actual[key], value) for key, value in expected.items())


ARGUMENT_MATCHES: Mapping[str, ArgumentMatch] = {
    "exact": same,
    "subset": _subset,
    "ignore": lambda actual, expected: True,
}
