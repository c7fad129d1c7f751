"""Scorer of the calls an agent made, by BFCL's AST rules.

Whether a call is one of the accepted ones, by the rules of BFCL's AST check.

The rules: the function's name is equal; required parameters are there; no unexpected ones; each value is of
the declared type (an integer will do for a number; types are checked one level into a list) and among the
allowed values, where "" among them means that the parameter may be left out. Strings compare after dropping
spaces and , . / - _ * ^, in lower case, with ' as ". Lists are ordered; one that may be left out may be empty.
Source: the leaderboard's description of its AST evaluation.
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
"""The type of a value by its schema's; a schema without a type is compared as text, as BFCL does."""

SCHEMA_TYPES: Mapping[type | None, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}
"""The type meant by an example: of numbers, integers and others are not told apart."""

DROPPED = re.compile(r"[ ,./\-_*^]")


def standardized(value: Any) -> Any:
    """A string in the form strings are compared in; anything else as it is."""
    return DROPPED.sub("", value).lower().replace("'", '"') if isinstance(value, str) else value


def mismatch(arguments: Mapping[str, Any], allowed: Mapping[str, Sequence[Any]], schema: JsonSchema) -> str | None:
    """Why the arguments are not accepted, None when they are. `schema` is the function's parameters."""
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
    """The schema when it has one type that BFCL knows or none at all; else the type of the first example."""
    if isinstance(schema, Mapping) and not _open(schema):
        return schema
    return {"type": SCHEMA_TYPES.get(_example_type(allowed))}


def _open(schema: JsonSchema) -> bool:
    """Whether the schema leaves a choice of types (`["string", "null"]`, `anyOf`) or names another one."""
    kind = schema.get("type")
    known = kind is None or (isinstance(kind, str) and kind in PYTHON_TYPES)
    return not known or any(key in schema for key in ("anyOf", "oneOf", "allOf", "$ref", "const"))


def _as_float(value: int) -> float | int:
    """The float that equals it; the integer itself where no float does."""
    try:
        return float(value) if float(value) == value else value
    except OverflowError:
        return value


def _example_type(allowed: Sequence[Any]) -> type | None:
    """The type of the first allowed value that is not the mark of an optional parameter."""
    return next((type(value) for value in allowed if value != ""), None)


def _items_fit(value: list[Any], allowed: Sequence[Any], schema: JsonSchema) -> bool:
    """Whether the items are of the declared type, or of the type in one of the allowed lists."""
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
    """Whether every key has one of its allowed values; one that stands alone is the only one allowed."""
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
