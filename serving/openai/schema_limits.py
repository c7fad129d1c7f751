"""Refuses JSON schemas that take seconds to compile, change a literal, never end, or cannot be enforced."""

import json
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from serving.openai.error import ApiError
from serving.openai.json_schema import Schema, inner_values, mapping, nodes, pointed_at, scalars, texts

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


def endless_part(schema: Schema) -> str | None:
    """The first reference to what never ends, where it makes that of the whole schema; else None.

    A keyword that says nothing about it here (a pattern, a least number of properties) counts as one that can be kept.
    """
    inside = list({id(node): node for node in nodes(schema)}.values())
    if any("$id" in node for node in inside if node is not schema):
        return None  # its references may lead elsewhere
    conditions = _Conditions()
    for node in inside:
        conditions.all_of(id(node), _needs(node, schema, conditions))
    never = conditions.never()
    if id(schema) not in never:
        return None
    references = [node["$ref"] for node in inside if id(node) in never and isinstance(node.get("$ref"), str)]
    return next(str(reference) for reference in references if never.intersection(_target(reference, schema)))


class _Conditions:
    """Keys that hold once enough of the keys that they need hold; those in a circle of needs never do."""

    def __init__(self) -> None:
        self._missing: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, list[Hashable]] = defaultdict(list)

    def all_of(self, key: Hashable, needed: Iterable[Hashable]) -> Hashable:
        self._missing[key] = 0
        for other in needed:
            self._missing[key] += 1
            self._waiting[other].append(key)
        return key

    def any_of(self, key: Hashable, needed: Iterable[Hashable]) -> Hashable:
        self.all_of(key, needed)
        self._missing[key] = min(1, self._missing[key])
        return key

    def never(self) -> set[Hashable]:
        """The keys that do not hold. Each need is looked at once."""
        holding = [key for key, missing in self._missing.items() if missing == 0]
        for key in holding:  # grows meanwhile
            for waiting in self._waiting[key]:
                self._missing[waiting] -= 1
                if self._missing[waiting] == 0:
                    holding.append(waiting)
        return {key for key, missing in self._missing.items() if missing > 0}


def _needs(node: Schema, schema: Schema, conditions: _Conditions) -> Iterator[Hashable]:
    """All of what must have a value that ends for this schema to have one."""
    if isinstance(node.get("$ref"), str):
        yield from _target(node["$ref"], schema)
    if isinstance(node.get("allOf"), list):
        yield from _ids(node["allOf"])
    for key in ("anyOf", "oneOf"):
        options = node.get(key)
        if isinstance(options, list) and all(isinstance(option, Mapping) for option in options):
            yield conditions.any_of((id(node), key), _ids(options))
    if _containers(node):
        yield conditions.any_of((id(node), "type"), _of_types(node, conditions))


def _target(reference: str, schema: Schema) -> Iterator[Hashable]:
    try:
        return _ids([pointed_at(reference, schema)])
    except LookupError:
        return iter(())


def _ids(schemas: Iterable[Any]) -> Iterator[Hashable]:
    """Schemas that are true or false are the grammar engine's matter."""
    return (id(schema) for schema in schemas if isinstance(schema, Mapping))


def _containers(node: Schema) -> list[str]:
    """The types of the values where all have values inside; none where a value is given in full."""
    types = node.get("type")
    names = [types] if isinstance(types, str) else texts(types)
    return names if {*names} <= {"object", "array"} and not node.keys() & {"const", "enum"} else []


def _of_types(node: Schema, conditions: _Conditions) -> Iterator[Hashable]:
    for name in _containers(node):
        yield conditions.all_of((id(node), name), _ids(_members(node) if name == "object" else _elements(node)))


def _members(node: Schema) -> Iterator[Any]:
    """The schemas of the properties that an object must have."""
    properties = mapping(node.get("properties"))
    for name in {*texts(node.get("required"))}:
        if name in properties:
            yield properties[name]
        elif "patternProperties" not in node:
            yield node.get("additionalProperties")


def _elements(node: Schema) -> Iterator[Any]:
    """The schemas of the elements that an array must have."""
    least = node.get("minItems")
    if not isinstance(least, int):
        return
    first = node.get("prefixItems")
    first = first if isinstance(first, list) else []
    yield from first[: max(least, 0)]
    if least > len(first):
        yield node.get("items")
