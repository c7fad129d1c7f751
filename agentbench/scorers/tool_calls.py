"""Scorer of the calls an agent made, by BFCL's AST rules."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from pydantic import BaseModel, ConfigDict

from agentbench.case import Case, JsonSchema
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.brief import brief
from agentbench.scorers.call_match import mismatch
from agentbench.trace import ToolCall, Trace

Accepted = Mapping[str, Mapping[str, Sequence[Any]]]
"""One expected call: `{function name: {parameter: [allowed values]}}`."""


SHAPE = '{"calls": [{function: {parameter: [allowed values]}}]} or {"min_calls": 1 or more}'


class ToolCallMatchConfig(BaseModel):
    """The `tool_call_match` scorer has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ToolCallMatchScorer:
    """Compares the attempt's tool calls with `expected`.

    `expected["calls"]` lists the accepted calls: as many must have been made, in any order; an empty list
    means that none may be. `expected["min_calls"]` instead only counts them. The declared types come from the
    case's tools.
    """

    Config = ToolCallMatchConfig
    name: str = "tool_call_match"

    def __init__(self, config: ToolCallMatchConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        _expected(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        reason = _judge(case, trace.tool_calls)
        return Score(name=self.name, value=float(reason is None), passed=reason is None, reason=reason or "as expected")


def _judge(case: Case, calls: Sequence[ToolCall]) -> str | None:
    """What is wrong with the calls, None when nothing is."""
    accepted = _expected(case)
    if isinstance(accepted, int):
        return None if len(calls) >= accepted else f"{len(calls)} calls made, expected at least {accepted}"
    if len(calls) != len(accepted):
        return f"{len(calls)} calls made, expected {len(accepted)}"
    schemas = {tool.name: tool.parameters for tool in case.tools}
    return _match_all(list(calls), accepted, schemas)


def _expected(case: Case) -> Sequence[Accepted] | int:
    """The accepted calls, or the least number of calls."""
    expected = case.expected if isinstance(case.expected, Mapping) else {}
    least = expected.get("min_calls")
    if isinstance(least, int) and not isinstance(least, bool) and least > 0:
        return least
    accepted = expected.get("calls")
    if least is not None or not _is_accepted(accepted):
        raise UserError(f"case {case.id!r}: expected = {brief(case.expected)}; tool_call_match needs {SHAPE}")
    return accepted


def _is_accepted(calls: Any) -> TypeGuard[Sequence[Accepted]]:
    return isinstance(calls, list) and all(isinstance(call, Mapping) and _is_one_call(call) for call in calls)


def _is_one_call(call: Mapping[str, Any]) -> bool:
    allowed = next(iter(call.values()), None)
    return len(call) == 1 and isinstance(allowed, Mapping) and all(isinstance(each, list) for each in allowed.values())


def _match_all(calls: list[ToolCall], accepted: Sequence[Accepted], schemas: Mapping[str, JsonSchema]) -> str | None:
    """Give each accepted call the first call left that fits it, in order, as BFCL does."""
    for option in accepted:
        reasons = [_call_mismatch(call, option, schemas) for call in calls]
        if None not in reasons:
            return "; ".join(dict.fromkeys(str(reason) for reason in reasons))
        calls.pop(reasons.index(None))
    return None


def _call_mismatch(call: ToolCall, option: Accepted, schemas: Mapping[str, JsonSchema]) -> str | None:
    [(name, allowed)] = option.items()
    if call.name != name:
        return f"called {call.name!r}, expected {name!r}"
    if call.error is not None and not call.executed:
        return f"{call.name}: {call.error}"
    found = mismatch(call.arguments, allowed, schemas.get(name) or _untyped(allowed))
    return f"{name}: {found}" if found else None


def _untyped(allowed: Mapping[str, Sequence[Any]]) -> JsonSchema:
    """Parameters of a tool that the case does not declare (a suite's own): each value's type is its examples'."""
    return {"properties": dict.fromkeys(allowed, False)}
