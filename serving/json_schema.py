"""JSON schemas made ready to constrain with."""

from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]
ANY_OBJECT: Schema = {"type": "object"}
NO_ARGUMENTS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
_COMBINING = frozenset(("properties", "anyOf", "oneOf", "$ref"))
_NEVER_CLOSED = ("additionalProperties", "patternProperties", "minProperties", "unevaluatedProperties")
_SCHEMAS = ("items", "additionalProperties")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "prefixItems")
_MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions")


def closed(schema: Schema) -> Schema:
    """`schema` with `additionalProperties: false` wherever an object lists its properties and does not say.

    What fits the closed schema fits the original. A model that may invent keys does not stop inventing
    them, so an object is open only by request. A schema that composes objects (allOf, not, properties
    beside anyOf) is returned as it is: closing its parts could leave nothing that fits all of them.
    """
    return schema if _composes(schema) else _mapped(schema, _close)


def _close(schema: Schema) -> Schema:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or any(key in schema for key in _NEVER_CLOSED):
        return schema
    if any(name not in properties for name in schema.get("required") or ()):
        return schema
    return {**schema, "additionalProperties": False}


def _mapped(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """`change` applied to the schema and to every schema inside it."""
    if not isinstance(schema, Mapping):
        return schema
    inner = {key: _mapped_value(key, value, change) for key, value in schema.items()}
    return change(inner)


def _mapped_value(key: str, value: Any, change: Callable[[Schema], Schema]) -> Any:
    if key in _SCHEMAS:
        return _mapped(value, change)
    if key in _LISTS_OF_SCHEMAS and isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if key in _MAPS_OF_SCHEMAS and isinstance(value, Mapping):
        return {name: _mapped(item, change) for name, item in value.items()}
    return value


def _composes(schema: Schema) -> bool:
    found: list[Schema] = []

    def look(inner: Schema) -> Schema:
        if inner.keys() & {"allOf", "not", "if"} or len(inner.keys() & _COMBINING) > 1:
            found.append(inner)
        return inner

    _mapped(schema, look)
    return bool(found)
