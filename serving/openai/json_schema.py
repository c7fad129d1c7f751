"""Prepares JSON schemas for the grammar engine: closes objects and rewrites keywords that it does not enforce."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

Schema = Mapping[str, Any]
ANY_OBJECT: Schema = {"type": "object"}
NO_ARGUMENTS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
_COMBINING_KEYS = frozenset(("properties", "anyOf", "oneOf", "$ref"))
_OPEN_OBJECT_KEYS = ("additionalProperties", "patternProperties", "minProperties", "unevaluatedProperties")
_SCHEMA_KEYS = ("items", "additionalProperties")
_SCHEMA_LIST_KEYS = ("anyOf", "oneOf", "prefixItems")
_DEFINITION_KEYS = ("$defs", "definitions")
_SCHEMA_MAP_KEYS = ("properties", *_DEFINITION_KEYS)


def closed(schema: Schema) -> Schema:
    """Close the objects: add `additionalProperties: false` to each that lists its properties and does not set it.

    A model that may invent keys often invents one after another, so an object is open only if the schema says so.
    Every value of the result is a value of `schema`. Two kinds of schema are therefore not closed:

    - Schemas that combine objects (allOf, not, properties beside anyOf). With closed parts, no value might fit all.
    - Schemas with a oneOf whose objects have no tag, a required property with different literals in each object. With
      closed options, a value that fits two options of `schema`, and so is invalid, might fit exactly one.

    A oneOf whose options exclude each other becomes an anyOf in every case.
    """
    definitions = _definitions(schema)
    schema = _map_schemas(schema, partial(_one_of_to_any_of, definitions))
    return schema if _combines_objects(schema) or not _has_tags(schema, definitions) else _map_schemas(schema, _close)


def _one_of_to_any_of(definitions: Schema, schema: Schema) -> Schema:
    options = schema.get("oneOf")
    if not isinstance(options, list) or "anyOf" in schema:
        return schema
    resolved = [_resolve(option, definitions) for option in options]
    if not _objects_have_tag(resolved) or not _types_differ(resolved):
        return schema
    return {**{key: value for key, value in schema.items() if key != "oneOf"}, "anyOf": options}


def _types_differ(options: Sequence[Schema]) -> bool:
    """Whether all options except the objects have different types; an integer is also a number."""
    types = [option["type"].replace("integer", "number") for option in options if option["type"] != "object"]
    return len(types) == len(set(types))


def _close(schema: Schema) -> Schema:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or any(key in schema for key in _OPEN_OBJECT_KEYS):
        return schema
    if any(name not in properties for name in strings_in(schema.get("required"))):
        return schema
    return {**schema, "additionalProperties": False}


def _map_schemas(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """Apply `change` to every schema inside, innermost first, and then to the schema itself."""
    if not isinstance(schema, Mapping):
        return schema
    inner = {key: _map_value(key, value, change) for key, value in schema.items()}
    return change(inner)


def _map_value(key: str, value: Any, change: Callable[[Schema], Schema]) -> Any:
    if key in _SCHEMA_KEYS:
        return _map_schemas(value, change)
    if key in _SCHEMA_LIST_KEYS and isinstance(value, list):
        return [_map_schemas(item, change) for item in value]
    if key in _SCHEMA_MAP_KEYS and isinstance(value, Mapping):
        return {name: _map_schemas(item, change) for name, item in value.items()}
    return value


def _combines_objects(schema: Schema) -> bool:
    return any(
        node.keys() & {"allOf", "not", "if"} or len(node.keys() & _COMBINING_KEYS) > 1 for node in _subschemas(schema)
    )


def _subschemas(schema: Schema) -> list[Schema]:
    """The schema and every schema inside it."""
    schemas: list[Schema] = []

    def collect(inner: Schema) -> Schema:
        schemas.append(inner)
        return inner

    _map_schemas(schema, collect)
    return schemas


def _has_tags(schema: Schema, definitions: Schema) -> bool:
    """Whether the objects of every oneOf have a tag; see `_objects_have_tag`."""
    lists = [node["oneOf"] for node in _subschemas(schema) if isinstance(node.get("oneOf"), list)]
    return all(_objects_have_tag([_resolve(option, definitions) for option in options]) for options in lists)


def _objects_have_tag(options: Sequence[Any]) -> bool:
    """Whether a property tells the objects apart: all require it, and no two share a literal of it.

    False unless every option has exactly one type.
    """
    if not all(isinstance(option, Mapping) and isinstance(option.get("type"), str) for option in options):
        return False
    objects = [option for option in options if option["type"] == "object"]
    names = set.intersection(*(set(strings_in(option.get("required"))) for option in objects)) if objects else set()
    return len(objects) < 2 or any(_is_tag(name, objects) for name in names)


def _is_tag(name: str, objects: Sequence[Schema]) -> bool:
    values = [_literals(as_mapping(option.get("properties")).get(name)) for option in objects]
    return all(values) and len(set().union(*values)) == sum(map(len, values))


def _literals(schema: Any) -> set[str]:
    """The strings that a const or an enum allows; empty if it allows any other value."""
    if not isinstance(schema, Mapping):
        return set()
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return set(strings_in(values)) if isinstance(values, list) and len(strings_in(values)) == len(values) else set()


def _definitions(schema: Schema) -> Schema:
    """The definitions by their reference; none if an inner `$id` changes the base of references."""
    if any("$id" in node for node in mappings_in(schema) if node is not schema):
        return {}
    maps = ((key, schema.get(key)) for key in _DEFINITION_KEYS)
    return {
        f"#/{key}/{name}": part for key, parts in maps if isinstance(parts, Mapping) for name, part in parts.items()
    }


def _resolve(option: Any, definitions: Schema) -> Any:
    """The definition that an option refers to; the option itself if it has no reference to one."""
    reference = option.get("$ref") if isinstance(option, Mapping) else None
    if not isinstance(reference, str) or reference.count("/") != 2 or set("~%") & set(reference):
        return option
    return definitions.get(reference, option)


def resolve_pointer(reference: str, schema: Schema) -> Any:
    """The value at a JSON pointer (RFC 6901) of the schema, written as `#/…`.

    Raises `LookupError` if the reference is no such pointer or the schema has no such value.
    """
    target: Any = schema
    if reference != "#" and not reference.startswith("#/"):
        raise LookupError(reference)
    for part in unquote(reference[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping) and key in target:
            target = target[key]
        elif isinstance(target, list) and key.isdecimal() and int(key) < len(target):
            target = target[int(key)]
        else:
            raise LookupError(reference)
    return target


def as_mapping(value: Any) -> Schema:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def strings_in(value: Any) -> list[str]:
    """The strings of a list; none if the value is not a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def mappings_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """All mappings in the value, itself included, whether they are schemas or not."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            yield value
        pending.extend(child_values(value) or ())


def scalars_in(value: Any) -> Iterator[Any]:
    """All values in the value, itself included, that are neither mappings nor lists."""
    pending = [value]
    while pending:
        value = pending.pop()
        children = child_values(value)
        if children is None:
            yield value
        pending.extend(children or ())


def child_values(value: Any) -> list[Any] | None:
    """The values of a mapping or a list; None for any other value."""
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else None


_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_MULTIPLE_OF_4 = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"(?:[0-9]{{2}}{_MULTIPLE_OF_4}|{_MULTIPLE_OF_4}00|[2468]000)"
_DAY_OF_ANY_YEAR = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = f"(?:{_YEAR}-{_DAY_OF_ANY_YEAR}|{_LEAP_YEAR}-02-29)"
# No leap seconds, which most parsers refuse. At most 6 digits of a second, as many as most parsers read.
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
PATTERNS = {"date": f"^{_DATE}$", "time": f"^{_TIME}$", "date-time": f"^{_DATE}T{_TIME}$"}
_LITERAL_KEYS = frozenset(("const", "enum", "default", "examples"))
_KEYS_WITH_NAMES = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))


def reworded(schema: Any) -> Any:
    """Rewrite the schema, and everything inside it that a reference may point to, without changing its meaning.

    - Keywords without an effect are dropped, since the grammar engine refuses some of them.
    - `propertyNames` with a pattern becomes `patternProperties`.
    - The formats date, time and date-time become patterns, since the engine's own formats allow invalid dates.
    """
    if isinstance(schema, list):
        return [reworded(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _reword_value(key, value) for key, value in schema.items()}
    return _format_to_pattern(_names_to_pattern_properties(_drop_ineffective_keywords(inner)))


def _reword_value(key: str, value: Any) -> Any:
    if key in _LITERAL_KEYS:
        return value
    if key in _KEYS_WITH_NAMES and isinstance(value, dict):
        return {name: reworded(item) for name, item in value.items()}
    return reworded(value)


def _drop_ineffective_keywords(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in _INEFFECTIVE or not _INEFFECTIVE[key](schema)}


def _allows_one_item(schema: Schema) -> bool:
    max_items = schema.get("maxItems")
    return isinstance(max_items, int) and max_items <= 1


_INEFFECTIVE: Mapping[str, Callable[[Schema], bool]] = {
    "uniqueItems": lambda schema: schema["uniqueItems"] is False or _allows_one_item(schema),
    "if": lambda schema: "then" not in schema and "else" not in schema,
    "then": lambda schema: "if" not in schema,
    "else": lambda schema: "if" not in schema,
    "minContains": lambda schema: "contains" not in schema,
    "maxContains": lambda schema: "contains" not in schema,
    "propertyNames": lambda schema: schema["propertyNames"] in (True, {}, {"type": "string"}),
}
"""For each keyword, whether it has no effect in a schema that contains it."""


def _names_to_pattern_properties(schema: dict[str, Any]) -> dict[str, Any]:
    """Replace a `propertyNames` with a pattern by `patternProperties`, if the schema has no other property keywords."""
    names = schema.get("propertyNames")
    others = schema.keys() & {"properties", "patternProperties"}
    if others or not isinstance(names, dict) or not {"pattern"} <= names.keys() <= {"pattern", "type"}:
        return schema
    if names.get("type", "string") != "string" or not isinstance(names["pattern"], str):
        return schema
    rest = {key: value for key, value in schema.items() if key != "propertyNames"}
    values = schema.get("additionalProperties", True)
    return {**rest, "patternProperties": {names["pattern"]: values}, "additionalProperties": False}


def _format_to_pattern(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("format")
    if not isinstance(name, str) or name not in PATTERNS:
        return schema
    rest = {key: value for key, value in schema.items() if key != "format"}
    rule = {"pattern": PATTERNS[name]}
    if "pattern" not in rest:
        return rest | rule
    others = rest.get("allOf", [])
    return rest | {"allOf": [*others, rule]} if isinstance(others, list) else schema
