"""Schemas that no finite value fits: each value requires another one inside it, which would be written until the
answer's limit."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from serving.openai.json_schema import Schema, mapping, nodes, pointed_at, texts


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
