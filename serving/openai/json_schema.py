"""Prepares JSON schemas for the grammar engine: closed objects, and keywords that it enforces."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

Schema = Mapping[str, Any]
ANY_OBJECT: Schema = {"type": "object"}
NO_ARGUMENTS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
_COMBINING = frozenset(("properties", "anyOf", "oneOf", "$ref"))
_NEVER_CLOSED = ("additionalProperties", "patternProperties", "minProperties", "unevaluatedProperties")
_SCHEMAS = ("items", "additionalProperties")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "prefixItems")
_DEFINITIONS = ("$defs", "definitions")
_MAPS_OF_SCHEMAS = ("properties", *_DEFINITIONS)


def closed(schema: Schema) -> Schema:
    """`schema` with `additionalProperties: false` wherever an object lists its properties and does not say.

    What fits the closed schema fits the original. A model that may invent keys does not stop inventing
    them, so an object is open only by request. A schema that composes objects (allOf, not, properties
    beside anyOf) is returned as it is: closing its parts could leave nothing that fits all of them. So is one
    with a oneOf whose options only their closing would tell apart: a value of one may fit another as it was.
    A oneOf whose options exclude each other as they are is an anyOf.
    """
    definitions = _definitions(schema)
    schema = _mapped(schema, partial(_as_any, definitions))
    return schema if _composes(schema) or not _told_apart(schema, definitions) else _mapped(schema, _close)


def _as_any(definitions: Schema, schema: Schema) -> Schema:
    options = schema.get("oneOf")
    if not isinstance(options, list) or "anyOf" in schema:
        return schema
    resolved = [_resolved(option, definitions) for option in options]
    if not _tagged(resolved) or not _of_different_types(resolved):
        return schema
    return {**{key: value for key, value in schema.items() if key != "oneOf"}, "anyOf": options}


def _of_different_types(options: Sequence[Schema]) -> bool:
    """But for objects."""
    types = [option["type"].replace("integer", "number") for option in options if option["type"] != "object"]
    return len(types) == len(set(types))


def _close(schema: Schema) -> Schema:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or any(key in schema for key in _NEVER_CLOSED):
        return schema
    if any(name not in properties for name in texts(schema.get("required"))):
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
    return any(node.keys() & {"allOf", "not", "if"} or len(node.keys() & _COMBINING) > 1 for node in _parts(schema))


def _parts(schema: Schema) -> list[Schema]:
    """The schema and all inside it."""
    found: list[Schema] = []

    def look(inner: Schema) -> Schema:
        found.append(inner)
        return inner

    _mapped(schema, look)
    return found


def _told_apart(schema: Schema, definitions: Schema) -> bool:
    """Whether the objects among each oneOf's options have a tag: a required property with literals of its own."""
    lists = [node["oneOf"] for node in _parts(schema) if isinstance(node.get("oneOf"), list)]
    return all(_tagged([_resolved(option, definitions) for option in options]) for options in lists)


def _tagged(options: Sequence[Any]) -> bool:
    if not all(isinstance(option, Mapping) and isinstance(option.get("type"), str) for option in options):
        return False
    objects = [option for option in options if option["type"] == "object"]
    names = set.intersection(*(set(texts(option.get("required"))) for option in objects)) if objects else set()
    return len(objects) < 2 or any(_is_tag(name, objects) for name in names)


def _is_tag(name: str, objects: Sequence[Schema]) -> bool:
    values = [_literals(mapping(option.get("properties")).get(name)) for option in objects]
    return all(values) and len(set().union(*values)) == sum(map(len, values))


def _literals(schema: Any) -> set[str]:
    """The texts that a const or an enum allows; empty where it allows anything else."""
    if not isinstance(schema, Mapping):
        return set()
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return set(texts(values)) if isinstance(values, list) and len(texts(values)) == len(values) else set()


def _definitions(schema: Schema) -> Schema:
    """What references lead to, by reference; without those that may lead elsewhere."""
    if any("$id" in node for node in nodes(schema) if node is not schema):
        return {}
    maps = ((key, schema.get(key)) for key in _DEFINITIONS)
    return {
        f"#/{key}/{name}": part for key, parts in maps if isinstance(parts, Mapping) for name, part in parts.items()
    }


def _resolved(option: Any, definitions: Schema) -> Any:
    reference = option.get("$ref") if isinstance(option, Mapping) else None
    if not isinstance(reference, str) or reference.count("/") != 2 or set("~%") & set(reference):
        return option
    return definitions.get(reference, option)


def pointed_at(reference: str, schema: Schema) -> Any:
    """What a JSON pointer leads to (RFC 6901). Raises `LookupError` where it is none, or leads out of the schema."""
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


def mapping(value: Any) -> Schema:
    """The value where it is one, as it should be; else nothing."""
    return value if isinstance(value, Mapping) else {}


def texts(value: Any) -> list[str]:
    """The texts of a list; none of anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping inside, schema or not."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            yield value
        pending.extend(inner_values(value) or ())


def scalars(value: Any) -> Iterator[Any]:
    """Every value inside that is no mapping and no list."""
    pending = [value]
    while pending:
        value = pending.pop()
        inner = inner_values(value)
        if inner is None:
            yield value
        pending.extend(inner or ())


def inner_values(value: Any) -> list[Any] | None:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else None


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
_LITERAL_KEYS = frozenset(("const", "enum", "default", "examples"))
_MAPS_BY_NAME = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))


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
    if key in _LITERAL_KEYS:
        return value
    if key in _MAPS_BY_NAME and isinstance(value, dict):
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
