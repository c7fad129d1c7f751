"""Which JSON schemas are refused before they are compiled: those that would take seconds, to compile or each step,
those with literals that would be answered as others, and those whose values never end."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from serving.endless_schemas import endless_part
from serving.openai.error import ApiError
from serving.openai.json_schema import Schema, inner_values, mapping, nodes, pointed_at, scalars

# Measured with llguidance 1.9 on a vocabulary of 49152: an object of 5000 optional properties takes 3 s to compile
# and 0.25 s a step, 2000 alternatives 0.1 s a step, a constant of 1 MB 2 s a step.
MAX_BYTES = 256 * 1024
MAX_PROPERTIES = 1000
MAX_ALTERNATIVES = 500
MAX_LITERAL = 4096
# A chain of 1600 references, each in a property, overflows the compiler's stack, which ends the process.
MAX_DEPTH = 1000
MAX_INTEGER = 2**53
"""The grammar engine computes with 64-bit floats, which have no integers of their own beyond it."""
_EXACT = ("const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_CONTROL = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")
_ESCAPE = re.compile(
    r"\\(?:[xuU]\{0*([0-9a-fA-F]{1,2})\}|x([0-9a-fA-F]{2})|u00([0-9a-fA-F]{2})|U0{6}([0-9a-fA-F]{2})|([av]))"
)
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def check_schemas(schemas: Iterable[Schema], param: str) -> None:
    """Of one request, together. Raises `ApiError` (400) naming `param`."""
    left = MAX_BYTES
    for schema in schemas:
        left -= len(json.dumps(schema))
        if left < 0:
            raise _too_much(param, f"it has more than {MAX_BYTES} bytes")
        for node in nodes(schema):
            _check_node(node, param)
        _check_depth(schema, param)
        _check_ends(schema, param)


def _check_node(node: Mapping[str, Any], param: str) -> None:
    properties = node.get("properties")
    names = list(mapping(properties))
    _check_count(param, "properties", len(names), MAX_PROPERTIES)
    for key in _ALTERNATIVES:
        if isinstance(node.get(key), list):
            _check_count(param, key, len(node[key]), MAX_ALTERNATIVES)
    for key in _EXACT:
        _check_integers(param, key, node.get(key))
    _check_control_characters(node, param)
    values = node.get("enum")
    literals = [node.get("const"), node.get("pattern"), *names, *(values if isinstance(values, list) else ())]
    longest = max(len(json.dumps(value)) for value in literals)
    _check_count(param, "characters in one literal", longest, MAX_LITERAL)


def _check_integers(param: str, key: str, value: Any) -> None:
    """A literal that would be answered as another number is refused."""
    for number in _integers(value):
        if abs(number) > MAX_INTEGER:
            message = (
                f"{param}: {key} has {number}; integers beyond 2**53 can't be enforced exactly. Ask for it as a string."
            )
            raise ApiError(message, param=param, code="invalid_schema")


def _integers(value: Any) -> Iterator[int]:
    return (scalar for scalar in scalars(value) if isinstance(scalar, int))


def _check_control_characters(node: Mapping[str, Any], param: str) -> None:
    """An answer would lack them: it is written without \\uXXXX (see `serving.openai.grammar`)."""
    found = [(key, text) for key in ("const", "enum") for text in scalars(node.get(key)) if isinstance(text, str)]
    names = mapping(node.get("patternProperties"))
    patterns = [("pattern", node.get("pattern")), *(("patternProperties", name) for name in names)]
    found += [(key, _unescaped(pattern)) for key, pattern in patterns if isinstance(pattern, str)]
    key = next((key for key, text in found if _CONTROL.search(text)), None)
    if key is not None:
        message = (
            f"{param}: {key} has a control character, which answers can't have (but for \\t, \\n, \\r, \\b and \\f)."
        )
        raise ApiError(message, param=param, code="invalid_schema")


def _unescaped(pattern: str) -> str:
    """With the characters that a regular expression's escapes stand for, as far as they may be control characters."""
    return _ESCAPE.sub(lambda found: "\v" if found[5] else chr(int("".join(filter(None, found.groups())), 16)), pattern)


def _check_depth(schema: Schema, param: str) -> None:
    """References may form a chain: their targets count together."""
    depths: dict[int, int] = {}
    deepest = _measure(schema, depths)
    references = {node["$ref"] for node in nodes(schema) if isinstance(node.get("$ref"), str)}
    depth = deepest + sum(_depth_of(reference, schema, depths, deepest) for reference in references)
    if depth > MAX_DEPTH:
        raise _too_much(param, f"its parts and references are {depth} deep together; at most {MAX_DEPTH} are allowed")


def _check_count(param: str, what: str, count: int, most: int) -> None:
    if count > most:
        raise _too_much(param, f"it has {count} {what}; at most {most} are allowed")


def _too_much(param: str, reason: str) -> ApiError:
    return ApiError(f"{param}: this schema is too large: {reason}.", param=param, code="invalid_schema")


def _measure(value: Any, depths: dict[int, int]) -> int:
    """How deep the value is nested; `depths` takes that of all its lists and objects, by identity."""
    inner = inner_values(value)
    if inner is None:
        return 0
    depth = 1 + max((_measure(item, depths) for item in inner), default=0)
    depths[id(value)] = depth
    return depth


def _depth_of(reference: str, schema: Schema, depths: Mapping[int, int], deepest: int) -> int:
    """Of what a reference leads to; what leads elsewhere may lead anywhere."""
    try:
        return depths.get(id(pointed_at(reference, schema)), 0) + 1
    except LookupError:
        return deepest


def _check_ends(schema: Schema, param: str) -> None:
    part = endless_part(schema)
    if part is not None:
        message = (
            f"{param}: a value of {part} never ends: what it requires inside requires more of the kind. "
            "Make one of the required properties or elements optional, or let it be null."
        )
        raise ApiError(message, param=param, code="invalid_schema")
