"""The `bfcl_multi_turn` scorer, for the leaderboard's multi-turn cases."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.trace import ToolCall, Trace, UserTurn
from agentbench.scorers.expected import shown


class BfclMultiTurnConfig(BaseModel):
    """The `bfcl_multi_turn` scorer has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BfclMultiTurnScorer:
    """Passes when each turn has the ground truth's outcome, by the rules of the leaderboard's multi-turn checker.

    These rules hold for every turn in which the ground truth calls a tool. The agent called a tool too. The toolkits'
    state after the turn equals the ground truth's. The results of the ground truth's calls are among all results of the
    agent so far, each as often. Extra calls that change nothing are allowed.

    The value is the share of the turns before the first wrong one; the leaderboard counts whole conversations only.
    """

    Config = BfclMultiTurnConfig
    name: str = "bfcl_multi_turn"

    def __init__(self, config: BfclMultiTurnConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        _expected(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        expected = _expected(case)
        right, reason = _judge(expected, trace)
        return Score(
            name=self.name,
            value=right / len(expected),
            passed=reason is None,
            reason=reason or "as expected",
        )


def _expected(case: Case) -> Sequence[Mapping[str, Any]]:
    expected = case.expected.get("turns") if isinstance(case.expected, Mapping) else None
    if not isinstance(expected, list) or not expected:
        raise UserError(
            f"case {case.id!r}: expected = {shown(case.expected)}; bfcl_multi_turn needs expected.turns,"
            " as the data set of that name gives it"
        )
    return expected


def _judge(expected: Sequence[Mapping[str, Any]], trace: Trace) -> tuple[int, str | None]:
    """The number of turns before the first wrong one, and what is wrong with that, or None."""
    turns = [[step for step in turn if isinstance(step, ToolCall)] for turn in trace.turns]
    states = [step.state for step in trace.steps if isinstance(step, UserTurn)] + [trace.state]
    results: list[str | None] = []
    for number, (wanted, calls, state) in enumerate(zip(expected, turns, states, strict=False)):
        results += [call.result for call in calls]
        if wanted["results"] and (wrong := _turn_mismatch(wanted, calls, state, results)):
            return number, f"turn {number + 1}: {wrong}"
    if len(turns) != len(expected):
        return min(len(turns), len(expected)), f"the conversation ended after turn {len(turns)} of {len(expected)}"
    return len(expected), None


def _turn_mismatch(
    wanted: Mapping[str, Any], calls: Sequence[ToolCall], state: Any, results: Sequence[str | None]
) -> str | None:
    if not calls:
        return "no call was made"
    if wanted["state"] != state:
        return f"the state differs: {_differing(wanted['state'], state)}"
    missing = _missing(wanted["results"], results)
    return f"no call returned {shown(missing[0])}" if missing else None


def _missing(wanted: Sequence[str], results: Sequence[str | None]) -> list[str]:
    left = list(results)
    missing = []
    for result in wanted:
        if result in left:
            left.remove(result)
        else:
            missing.append(result)
    return missing


def _differing(wanted: Mapping[str, Any], state: Any) -> str:
    """The toolkits' attributes with wrong values, as text."""
    if not isinstance(state, Mapping):
        return f"there is no state, but {shown(state)}"
    names = (
        f"{toolkit}.{attribute} is {shown(state.get(toolkit, {}).get(attribute), 80)}, expected {shown(value, 80)}"
        for toolkit, attributes in wanted.items()
        for attribute, value in attributes.items()
        if state.get(toolkit, {}).get(attribute) != value
    )
    return "; ".join(names) or "there are more toolkits than there should be"
