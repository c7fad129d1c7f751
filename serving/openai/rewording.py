"""Schemas in words that the grammar engine enforces."""

from collections.abc import Callable, Mapping
from typing import Any

from serving.openai.json_schema import Schema

_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_OF_FOUR = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"(?:[0-9]{{2}}{_OF_FOUR}|{_OF_FOUR}00|[2468]000)"
_DAY_OF_ANY_YEAR = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = f"(?:{_YEAR}-{_DAY_OF_ANY_YEAR}|{_LEAP_YEAR}-02-29)"
# Without leap seconds, which most readers refuse; parts of a second as far as they read them.
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
PATTERNS = {"date": f"^{_DATE}$", "time": f"^{_TIME}$", "date-time": f"^{_DATE}T{_TIME}$"}
_LITERAL = frozenset(("const", "enum", "default", "examples"))
_MAPS_OF_SCHEMAS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))


def reworded(schema: Any) -> Any:
    """The same schema, wherever a reference may lead, without keywords that say nothing where they are, with patterns
    in place of formats whose own rule lets through what is no such date or time."""
    if isinstance(schema, list):
        return [reworded(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _inner(key, value) for key, value in schema.items()}
    return _with_exact_format(_with_patterns_of_names(_without_idle_keywords(inner)))


def _inner(key: str, value: Any) -> Any:
    if key in _LITERAL:
        return value
    if key in _MAPS_OF_SCHEMAS and isinstance(value, dict):
        return {name: reworded(item) for name, item in value.items()}
    return reworded(value)


def _without_idle_keywords(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in _IDLE or not _IDLE[key](schema)}


def _is_list_of_one(schema: Schema) -> bool:
    most = schema.get("maxItems")
    return isinstance(most, int) and most <= 1


_IDLE: Mapping[str, Callable[[Schema], bool]] = {
    "uniqueItems": lambda schema: schema["uniqueItems"] is False or _is_list_of_one(schema),
    "if": lambda schema: "then" not in schema and "else" not in schema,
    "then": lambda schema: "if" not in schema,
    "else": lambda schema: "if" not in schema,
    "minContains": lambda schema: "contains" not in schema,
    "maxContains": lambda schema: "contains" not in schema,
    "propertyNames": lambda schema: schema["propertyNames"] in (True, {}, {"type": "string"}),
}


def _with_patterns_of_names(schema: dict[str, Any]) -> dict[str, Any]:
    """A pattern for all names is one for those of free properties, where there are no others."""
    names = schema.get("propertyNames")
    others = schema.keys() & {"properties", "patternProperties"}
    if others or not isinstance(names, dict) or not {"pattern"} <= names.keys() <= {"pattern", "type"}:
        return schema
    if names.get("type", "string") != "string" or not isinstance(names["pattern"], str):
        return schema
    rest = {key: value for key, value in schema.items() if key != "propertyNames"}
    values = schema.get("additionalProperties", True)
    return {**rest, "patternProperties": {names["pattern"]: values}, "additionalProperties": False}


def _with_exact_format(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("format")
    if not isinstance(name, str) or name not in PATTERNS:
        return schema
    rest = {key: value for key, value in schema.items() if key != "format"}
    rule = {"pattern": PATTERNS[name]}
    if "pattern" not in rest:
        return rest | rule
    others = rest.get("allOf", [])
    return rest | {"allOf": [*others, rule]} if isinstance(others, list) else schema
