"""Refuses JSON schemas that take seconds to compile, change a literal, have no finite value, or can't be enforced."""

import json
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from serving.openai.error import ApiError
from serving.openai.json_schema import (
    Schema,
    as_mapping,
    child_values,
    mappings_in,
    resolve_pointer,
    scalars_in,
    strings_in,
)

# Measured with llguidance 1.9 and a vocabulary of 49152 tokens: an object with 5000 optional properties takes 3 s to
# compile and 0.25 s for each step; 2000 alternatives take 0.1 s for each step, a constant of 1 MB 2 s.
MAX_BYTES = 256 * 1024
MAX_PROPERTIES = 1000
MAX_ALTERNATIVES = 500
MAX_LITERAL = 4096  # characters
# A chain of 1600 references, each in a property, overflows the compiler's stack and ends the process.
MAX_DEPTH = 1000
MAX_INTEGER = 2**53
"""The grammar engine computes with 64-bit floats, which can't represent every larger integer."""
_NUMBER_KEYS = ("const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_CONTROL = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")
_ESCAPE = re.compile(
    r"\\(?:[xuU]\{0*([0-9a-fA-F]{1,2})\}|x([0-9a-fA-F]{2})|u00([0-9a-fA-F]{2})|U0{6}([0-9a-fA-F]{2})|([av]))"
)
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def check_schemas(schemas: Iterable[Schema], param: str) -> None:
    """Check all schemas of one request; they share the limit of `MAX_BYTES`. Raises `ApiError` (400) for `param`."""
    remaining = MAX_BYTES
    for schema in schemas:
        remaining -= len(json.dumps(schema))
        if remaining < 0:
            raise _too_large(param, f"it has more than {MAX_BYTES} bytes")
        for node in mappings_in(schema):
            _check_node(node, param)
        _check_depth(schema, param)
        _check_finite(schema, param)


def _check_node(node: Mapping[str, Any], param: str) -> None:
    properties = node.get("properties")
    names = list(as_mapping(properties))
    _check_count(param, "properties", len(names), MAX_PROPERTIES)
    for key in _ALTERNATIVES:
        if isinstance(node.get(key), list):
            _check_count(param, key, len(node[key]), MAX_ALTERNATIVES)
    for key in _NUMBER_KEYS:
        _check_integers(param, key, node.get(key))
    _check_control_characters(node, param)
    values = node.get("enum")
    literals = [node.get("const"), node.get("pattern"), *names, *(values if isinstance(values, list) else ())]
    longest = max(len(json.dumps(value)) for value in literals)
    _check_count(param, "characters in one literal", longest, MAX_LITERAL)


def _check_integers(param: str, key: str, value: Any) -> None:
    """Refuse integers that the grammar engine would round to another number."""
    for number in _integers(value):
        if abs(number) > MAX_INTEGER:
            message = (
                f"{param}: {key} has {number}; integers beyond 2**53 can't be enforced exactly. Use a string instead."
            )
            raise ApiError(message, param=param, code="invalid_schema")


def _integers(value: Any) -> Iterator[int]:
    return (scalar for scalar in scalars_in(value) if isinstance(scalar, int))


def _check_control_characters(node: Mapping[str, Any], param: str) -> None:
    """Refuse literals that no answer can contain: answers have no \\uXXXX (see `serving.openai.grammar`)."""
    literals = [(key, text) for key in ("const", "enum") for text in scalars_in(node.get(key)) if isinstance(text, str)]
    names = as_mapping(node.get("patternProperties"))
    patterns = [("pattern", node.get("pattern")), *(("patternProperties", name) for name in names)]
    literals += [(key, _unescape(pattern)) for key, pattern in patterns if isinstance(pattern, str)]
    key = next((key for key, text in literals if _CONTROL.search(text)), None)
    if key is not None:
        message = (
            f"{param}: {key} has a control character; answers can't contain any except \\t, \\n, \\r, \\b and \\f."
        )
        raise ApiError(message, param=param, code="invalid_schema")


def _unescape(pattern: str) -> str:
    """The regular expression with its escapes of possible control characters replaced by the characters."""
    return _ESCAPE.sub(lambda found: "\v" if found[5] else chr(int("".join(filter(None, found.groups())), 16)), pattern)


def _check_depth(schema: Schema, param: str) -> None:
    """Check the depth of the schema plus the depths of all referenced parts, since references may form a chain."""
    depths: dict[int, int] = {}
    deepest = _measure_depth(schema, depths)
    references = {node["$ref"] for node in mappings_in(schema) if isinstance(node.get("$ref"), str)}
    depth = deepest + sum(_depth_of_target(reference, schema, depths, deepest) for reference in references)
    if depth > MAX_DEPTH:
        reason = f"its nesting and its references have {depth} levels together; at most {MAX_DEPTH} are allowed"
        raise _too_large(param, reason)


def _check_count(param: str, items: str, count: int, limit: int) -> None:
    if count > limit:
        raise _too_large(param, f"it has {count} {items}; at most {limit} are allowed")


def _too_large(param: str, reason: str) -> ApiError:
    return ApiError(f"{param}: this schema is too large: {reason}.", param=param, code="invalid_schema")


def _measure_depth(value: Any, depths: dict[int, int]) -> int:
    """The value's nesting depth. Adds the depth of every list and object to `depths`, by its `id`."""
    children = child_values(value)
    if children is None:
        return 0
    depth = 1 + max((_measure_depth(item, depths) for item in children), default=0)
    depths[id(value)] = depth
    return depth


def _depth_of_target(reference: str, schema: Schema, depths: Mapping[int, int], deepest: int) -> int:
    """The depth of the part that a reference points to. A reference that can't be resolved counts as `deepest`."""
    try:
        return depths.get(id(resolve_pointer(reference, schema)), 0) + 1
    except LookupError:
        return deepest


def _check_finite(schema: Schema, param: str) -> None:
    reference = find_endless_reference(schema)
    if reference is not None:
        message = (
            f"{param}: a value of {reference} never ends: every such value must contain another one. "
            "Make one of the required properties or elements optional, or allow null for it."
        )
        raise ApiError(message, param=param, code="invalid_schema")


def check_strict(schemas: Iterable[Schema], param: str) -> None:
    """Check the rules for schemas that must be enforced exactly. Raises `ApiError` (400) for `param`."""
    for schema in schemas:
        for node in mappings_in(schema):
            _check_min_properties(node, param)


def _check_min_properties(node: Mapping[str, Any], param: str) -> None:
    """Refuse a `minProperties` that an answer could reach by writing an unlisted name twice, which counts once."""
    min_properties, required = node.get("minProperties"), set(strings_in(node.get("required")))
    if not isinstance(min_properties, int) or min_properties <= len(required) + 1 or _allows_listed_names_only(node):
        return
    message = (
        f"{param}: minProperties: {min_properties} can't be enforced if names are allowed that are not listed. "
        "List the properties as required, or set additionalProperties to false."
    )
    raise ApiError(message, param=param, code="invalid_schema")


def _allows_listed_names_only(node: Mapping[str, Any]) -> bool:
    return node.get("additionalProperties") is False and "patternProperties" not in node


def find_endless_reference(schema: Schema) -> str | None:
    """If no finite value fits the schema, a reference to a part that no finite value fits; else None.

    Keywords that are not checked here (patterns, a minimum number of properties) are assumed to be satisfiable.
    """
    inside = list({id(node): node for node in mappings_in(schema)}.values())
    if any("$id" in node for node in inside if node is not schema):
        return None  # an inner $id changes the base of references
    requirements = _Requirements()
    for node in inside:
        requirements.add_all(id(node), _required_keys(node, schema, requirements))
    endless = requirements.unsatisfiable()
    if id(schema) not in endless:
        return None
    references = [node["$ref"] for node in inside if id(node) in endless and isinstance(node.get("$ref"), str)]
    return next(str(reference) for reference in references if endless.intersection(_target_id(reference, schema)))


class _Requirements:
    """Keys that require other keys. A key is satisfied when all, or one, of its required keys are.

    A key that requires itself through others is never satisfied, unless one of them has an alternative.
    """

    def __init__(self) -> None:
        self._num_missing: dict[Hashable, int] = {}
        self._dependents: dict[Hashable, list[Hashable]] = defaultdict(list)

    def add_all(self, key: Hashable, required: Iterable[Hashable]) -> Hashable:
        """Add a key that requires all of these keys. Returns the key."""
        self._num_missing[key] = 0
        for other in required:
            self._num_missing[key] += 1
            self._dependents[other].append(key)
        return key

    def add_any(self, key: Hashable, required: Iterable[Hashable]) -> Hashable:
        """Add a key that requires one of these keys, if there are any. Returns the key."""
        self.add_all(key, required)
        self._num_missing[key] = min(1, self._num_missing[key])
        return key

    def unsatisfiable(self) -> set[Hashable]:
        """The keys that are never satisfied. Takes time linear in the number of requirements. Call it once."""
        satisfied = [key for key, missing in self._num_missing.items() if missing == 0]
        for key in satisfied:  # the loop appends to the list
            for dependent in self._dependents[key]:
                self._num_missing[dependent] -= 1
                if self._num_missing[dependent] == 0:
                    satisfied.append(dependent)
        return {key for key, missing in self._num_missing.items() if missing > 0}


def _required_keys(node: Schema, schema: Schema, requirements: _Requirements) -> Iterator[Hashable]:
    """The keys that must all have a finite value for this schema to have one."""
    if isinstance(node.get("$ref"), str):
        yield from _target_id(node["$ref"], schema)
    if isinstance(node.get("allOf"), list):
        yield from _ids(node["allOf"])
    for key in ("anyOf", "oneOf"):
        options = node.get(key)
        if isinstance(options, list) and all(isinstance(option, Mapping) for option in options):
            yield requirements.add_any((id(node), key), _ids(options))
    if _container_types(node):
        yield requirements.add_any((id(node), "type"), _type_keys(node, requirements))


def _target_id(reference: str, schema: Schema) -> Iterator[Hashable]:
    try:
        return _ids([resolve_pointer(reference, schema)])
    except LookupError:
        return iter(())


def _ids(schemas: Iterable[Any]) -> Iterator[Hashable]:
    """The ids of the schemas. The grammar engine handles schemas that are true or false."""
    return (id(schema) for schema in schemas if isinstance(schema, Mapping))


def _container_types(node: Schema) -> list[str]:
    """The types of the schema if only objects and arrays are allowed; empty otherwise, and with a const or enum."""
    types = node.get("type")
    names = [types] if isinstance(types, str) else strings_in(types)
    return names if {*names} <= {"object", "array"} and not node.keys() & {"const", "enum"} else []


def _type_keys(node: Schema, requirements: _Requirements) -> Iterator[Hashable]:
    for name in _container_types(node):
        parts = _required_properties(node) if name == "object" else _required_elements(node)
        yield requirements.add_all((id(node), name), _ids(parts))


def _required_properties(node: Schema) -> Iterator[Any]:
    """The schemas of the properties that an object must have."""
    properties = as_mapping(node.get("properties"))
    for name in {*strings_in(node.get("required"))}:
        if name in properties:
            yield properties[name]
        elif "patternProperties" not in node:
            yield node.get("additionalProperties")


def _required_elements(node: Schema) -> Iterator[Any]:
    """The schemas of the elements that an array must have."""
    min_items = node.get("minItems")
    if not isinstance(min_items, int):
        return
    first = node.get("prefixItems")
    first = first if isinstance(first, list) else []
    yield from first[: max(min_items, 0)]
    if min_items > len(first):
        yield node.get("items")
