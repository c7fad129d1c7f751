"""What the grammar engine takes and does not enforce, refused where a schema must be kept."""

from collections.abc import Iterable, Mapping
from typing import Any

from serving.openai.error import ApiError
from serving.openai.json_schema import Schema, nodes, texts


def check_strict(schemas: Iterable[Schema], param: str) -> None:
    """Raises `ApiError` (400) naming `param`."""
    for schema in schemas:
        for node in nodes(schema):
            _check_min_properties(node, param)


def _check_min_properties(node: Mapping[str, Any], param: str) -> None:
    """A name that the schema leaves free may be written twice, and counts once."""
    least, names = node.get("minProperties"), set(texts(node.get("required")))
    if not isinstance(least, int) or least <= len(names) + 1 or _named(node):
        return
    message = (
        f"{param}: minProperties: {least} can't be enforced where names are free. "
        "List the properties as required, or set additionalProperties to false."
    )
    raise ApiError(message, param=param, code="invalid_schema")


def _named(node: Mapping[str, Any]) -> bool:
    return node.get("additionalProperties") is False and "patternProperties" not in node
