"""The `tool_call_match` scorer: compares an agent's calls with the accepted ones by the rules of BFCL's AST check.

The function's name must be equal. Required parameters must be there, and no unexpected ones. Each value must have the
declared type (an integer passes for a number; a list's items are checked one level deep). It must be among the allowed
values, where "" means that the parameter may be left out. Strings are compared in lower case, without spaces and , . /
- _ * ^, and with ' as ". Lists are ordered; an optional list may be empty. Source: the leaderboard's description of its
AST evaluation.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from pydantic import BaseModel, ConfigDict

from agentbench.core.attempt import Score
from agentbench.core.case import Case, JsonSchema
from agentbench.core.errors import UserError
from agentbench.core.trace import ToolCall, Trace
from agentbench.scorers.expected import brief

PYTHON_TYPES: Mapping[str | None, type] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    None: str,
}
"""Python type for each schema type; BFCL compares a schema without a type as text."""

SCHEMA_TYPES: Mapping[type | None, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}
"""Schema type for an example's Python type; integers and floats are both numbers."""

DROPPED = re.compile(r"[ ,./\-_*^]")


def standardized(value: Any) -> Any:
    """A string in its form for comparison; any other value unchanged."""
    return DROPPED.sub("", value).lower().replace("'", '"') if isinstance(value, str) else value


def mismatch(arguments: Mapping[str, Any], allowed: Mapping[str, Sequence[Any]], schema: JsonSchema) -> str | None:
    """Why the arguments are not accepted, or None. `schema` is the function's parameters."""
    missing = [name for name in schema.get("required", ()) if name not in arguments]
    if missing:
        return f"missing required parameter {missing[0]!r}"
    properties: Mapping[str, JsonSchema] = schema.get("properties", {})
    for name, value in arguments.items():
        if name not in allowed or name not in properties:
            return f"unexpected parameter {name!r}"
        if reason := _value_mismatch(value, allowed[name], properties[name]):
            return f"parameter {name!r}: {reason}"
    left_out = [name for name, values in allowed.items() if name not in arguments and "" not in values]
    return f"missing parameter {left_out[0]!r}: one of {list(allowed[left_out[0]])!r}" if left_out else None


def _value_mismatch(value: Any, allowed: Sequence[Any], schema: JsonSchema) -> str | None:
    schema = declared_or_inferred(schema, allowed)
    expected = PYTHON_TYPES[schema.get("type")]
    if expected is float and type(value) is int:
        value = _as_float(value)
    declared = type(value) is expected
    example = _example_type(allowed)
    if declared and expected is list and not _items_fit(value, allowed, schema):
        return f"{value!r} has items of another type than declared"
    if not declared and type(value) is not example:
        return f"{value!r} is of type {type(value).__name__}, expected {schema.get('type', 'any')}"
    as_declared = declared and example in (None, expected)
    found = _among(value, allowed, expected, schema) if as_declared else value in allowed
    return None if found else f"{value!r} is not one of {list(allowed)!r}"


def declared_or_inferred(schema: Any, allowed: Sequence[Any]) -> JsonSchema:
    """The schema when it has no type or one type that BFCL knows; otherwise the type of the first example."""
    if isinstance(schema, Mapping) and not _open(schema):
        return schema
    return {"type": SCHEMA_TYPES.get(_example_type(allowed))}


def _open(schema: JsonSchema) -> bool:
    """Whether the schema allows several types (`["string", "null"]`, `anyOf`) or refers to another schema."""
    kind = schema.get("type")
    has_one_type = kind is None or (isinstance(kind, str) and kind in PYTHON_TYPES)
    return not has_one_type or any(key in schema for key in ("anyOf", "oneOf", "allOf", "$ref", "const"))


def _as_float(value: int) -> float | int:
    """The equal float; the integer itself when no float is equal."""
    try:
        return float(value) if float(value) == value else value
    except OverflowError:
        return value


def _example_type(allowed: Sequence[Any]) -> type | None:
    """The type of the first allowed value, without the "" that marks an optional parameter."""
    return next((type(value) for value in allowed if value != ""), None)


def _items_fit(value: list[Any], allowed: Sequence[Any], schema: JsonSchema) -> bool:
    """Whether the items have the declared type, or the type of one of the allowed lists."""
    inner = schema.get("items")
    if not isinstance(inner, Mapping) or _open(inner):
        return True
    item_type = PYTHON_TYPES[inner.get("type")]
    return any(
        not isinstance(option, list) or all(type(item) in (item_type, _example_type(option)) for item in value)
        for option in allowed
    )


def _among(value: Any, allowed: Sequence[Any], expected: type, schema: JsonSchema) -> bool:
    if expected is dict:
        return any(_dict_fits(value, option) for option in allowed if option != "")
    if expected is list:
        options = [option or [] for option in allowed if isinstance(option, list) or option == ""]
        inner = schema.get("items")
        if isinstance(inner, Mapping) and inner.get("type") == "object":
            return any(_dicts_fit(value, option) for option in options)
        items = [standardized(item) for item in value]
        return any(items == [standardized(item) for item in option] for option in options)
    return standardized(value) in [standardized(option) for option in allowed]


def _dicts_fit(value: list[Any], option: list[Any]) -> bool:
    pairs = zip(value, option, strict=False)
    return len(value) == len(option) and all(isinstance(item, dict) and _dict_fits(item, fit) for item, fit in pairs)


def _dict_fits(value: Mapping[str, Any], option: Any) -> bool:
    """Whether every key has one of its allowed values; a single value is the only one allowed."""
    if not isinstance(option, Mapping):
        return False
    allowed = {key: fits if isinstance(fits, list) else [fits] for key, fits in option.items()}
    for key, item in value.items():
        if key not in allowed or standardized(item) not in [standardized(fit) for fit in allowed[key]]:
            return False
    return all(key in value or "" in fits for key, fits in allowed.items())


Accepted = Mapping[str, Mapping[str, Sequence[Any]]]
"""One expected call: `{function name: {parameter: [allowed values]}}`."""


SHAPE = '{"calls": [{function: {parameter: [allowed values]}}]} or {"min_calls": 1 or more}'


class ToolCallMatchConfig(BaseModel):
    """The `tool_call_match` scorer has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ToolCallMatchScorer:
    """Compares the attempt's tool calls with `expected`.

    `expected["calls"]` lists the accepted calls: the attempt must make exactly these, in any order; an empty list
    forbids any call. `expected["min_calls"]` only requires a number of calls. The case's tools declare the types.
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
    """The problem with the calls, or None."""
    accepted = _expected(case)
    if isinstance(accepted, int):
        return None if len(calls) >= accepted else f"{len(calls)} calls made, expected at least {accepted}"
    if len(calls) != len(accepted):
        return f"{len(calls)} calls made, expected {len(accepted)}"
    schemas = {tool.name: tool.parameters for tool in case.tools}
    return _match_all(list(calls), accepted, schemas)


def _expected(case: Case) -> Sequence[Accepted] | int:
    """The accepted calls, or the minimum number of calls."""
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
    """Match each accepted call with the first unmatched call that fits it, in order, as BFCL does."""
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
    """A schema for a tool that the case does not declare (a suite's own): each value has the type of its examples."""
    return {"properties": dict.fromkeys(allowed, False)}
