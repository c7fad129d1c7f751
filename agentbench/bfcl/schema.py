"""BFCL's function documents as JSON Schema."""

from collections.abc import Mapping
from typing import Any

TYPES = {
    "dict": "object",
    "float": "number",
    "tuple": "array",
    "string": "string",
    "integer": "integer",
    "boolean": "boolean",
    "array": "array",
    "object": "object",
    "number": "number",
}
"""BFCL's type names to JSON Schema's. One that is not here ("any") means any value."""

KEPT = ("description", "enum", "default", "format")


def json_schema(document: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of one BFCL type document, converted all the way down."""
    schema: dict[str, Any] = {}
    if (kind := TYPES.get(str(document.get("type")))) is not None:
        schema["type"] = kind
    schema |= {key: document[key] for key in KEPT if key in document and _fits(key, document[key])}
    properties = document.get("properties")
    if isinstance(properties, Mapping):
        schema["properties"] = {name: json_schema(inner) for name, inner in properties.items()}
        required = [name for name in document.get("required") or () if name in properties]
        if required:
            schema["required"] = required
    if isinstance(document.get("items"), Mapping):
        schema["items"] = json_schema(document["items"])
    return schema


def _fits(key: str, value: Any) -> bool:
    """Whether the value is one that JSON Schema allows under `key` (some documents have others)."""
    if key in ("description", "format"):
        return isinstance(value, str)
    return key != "enum" or (isinstance(value, list) and bool(value))
