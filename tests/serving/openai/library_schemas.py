"""Random JSON schemas as pydantic and zod write them."""

import random
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal, Optional, Union
from uuid import UUID

from annotated_types import Ge, Gt, Le, Len, Lt, MultipleOf
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, RootModel, create_model

Schema = dict[str, Any]


class Colour(Enum):
    """An enum of strings."""

    RED = "red"
    NONE = ""
    QUOTED = 'a "quote"\n'


class Level(IntEnum):
    """An enum of numbers."""

    LOW = -1
    HIGH = 10


class Point(BaseModel):
    """A model without required fields."""

    x: int = 0
    y: float = 0.0


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Ge(0), Le(9)] = 9


class Dog(BaseModel):
    kind: Literal["dog", "wolf"]
    name: str = Field(max_length=8)


class Tree(BaseModel):
    value: int
    children: list["Tree"] = []


class Chain(BaseModel):
    next: Optional["Chain"] = None
    label: Annotated[str, Len(1, 5)]


class AllowsExtra(BaseModel):
    model_config = ConfigDict(extra="allow")
    size: int
    größe: bool = False


class ForbidsExtra(BaseModel):
    model_config = ConfigDict(extra="forbid")
    when: date
    at: time | None = None


_SCALARS: tuple[Any, ...] = (
    str,
    int,
    float,
    bool,
    None,
    Any,
    date,
    datetime,
    time,
    timedelta,
    UUID,
    Decimal,
    bytes,
    IPv4Address,
    IPv6Address,
    AnyUrl,
    Colour,
    Level,
    Point,
    Cat,
    Tree,
    Chain,
    AllowsExtra,
    ForbidsExtra,
    Literal["a", 'b"c', "größe"],
    Literal[1, -2, 3],
    Literal["x", 1, True, None],
    Annotated[int, Gt(0), Lt(100)],
    Annotated[int, MultipleOf(7)],
    Annotated[int, Ge(-1000), Le(-5)],
    Annotated[float, Ge(0), Lt(1)],
    Annotated[float, Gt(-2.5), Le(2.5)],
    Annotated[float, MultipleOf(0.25)],
    Annotated[str, Len(2, 6)],
    Annotated[str, Field(pattern=r"^[A-Z]{2}-\d{1,4}$")],
    Annotated[str, Field(pattern=r"ab?c")],
    Annotated[str, Field(pattern=r"^\w+$", min_length=3, max_length=10)],
    Annotated[Cat | Dog, Field(discriminator="kind")],
)


def pydantic_schema(source: random.Random) -> Schema:
    """The schema of a model with one to five fields, or of a root model."""
    if source.random() < 0.15:
        root: Any = RootModel[_annotation(source, 2)]  # type: ignore[misc]
        return dict(root.model_json_schema())
    names = source.sample(("id", "name", "kind", "größe", "a.b", "x y", "tags", "items", "enum", "default"), 5)
    fields: dict[str, Any] = {f"f{i}": _field(source, name) for i, name in enumerate(names[: source.randint(1, 5)])}
    config = ConfigDict(extra=source.choice(("allow", "forbid", "ignore")))
    model = create_model("Model", __config__=config, **fields)
    return dict(model.model_json_schema())


def _field(source: random.Random, alias: str) -> tuple[Any, Any]:
    annotation = _annotation(source, 2)
    if source.random() < 0.3:
        return (Optional[annotation], Field(None, alias=alias, description="May be left out."))  # noqa: UP045
    return (annotation, Field(alias=alias, title=alias.title(), examples=["1"]))


def _annotation(source: random.Random, depth: int) -> Any:
    def inner() -> Any:
        return _annotation(source, depth - 1)

    nested: tuple[Callable[[], Any], ...] = (
        lambda: list[inner()],  # type: ignore[misc]
        lambda: Annotated[list[inner()], Len(1, 3)],  # type: ignore[misc]
        lambda: set[str],
        lambda: dict[str, inner()],  # type: ignore[misc]
        lambda: Annotated[dict[str, inner()], Len(source.randint(0, 2), 3)],  # type: ignore[misc]
        lambda: tuple[inner(), inner()],  # type: ignore[misc]
        lambda: tuple[inner(), ...],  # type: ignore[misc]
        lambda: Union[inner(), inner()],  # noqa: UP007
        lambda: Optional[inner()],  # noqa: UP045
        lambda: create_model("Inner", a=(inner(), ...), b=(inner(), None)),
    )
    return source.choice(nested)() if depth and source.random() < 0.6 else source.choice(_SCALARS)


def zod_schema(source: random.Random) -> Schema:
    """The schema of an object, as zod's `toJSONSchema` or zod-to-json-schema writes it."""
    dialect = source.choice(("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"))
    return {"$schema": dialect, **_zod_object(source, 2)}


def _zod_object(source: random.Random, depth: int) -> Schema:
    names = source.sample(("id", "name", "first-name", "ünï", 'q"', "pattern", "const"), source.randint(1, 4))
    properties = {name: _zod_type(source, depth) for name in names}
    required = [name for name in names if source.random() < 0.7]
    shape: Schema = {"type": "object", "properties": properties}
    others: Any = source.choice((False, False, True, {}, {"type": "string"}, None))
    shape |= {"required": required} if required else {}
    return shape | ({} if others is None else {"additionalProperties": others})


def _zod_type(source: random.Random, depth: int) -> Schema:
    def inner() -> Schema:
        return _zod_type(source, depth - 1)

    def variant(tag: str) -> Schema:
        shape = _zod_object(source, 0)
        shape["properties"]["type"] = {"type": "string", "const": tag}
        return shape | {"required": [*shape.get("required", ()), "type"]}

    nested: tuple[Callable[[], Schema], ...] = (
        lambda: _zod_object(source, depth - 1),
        lambda: {"type": "array", "items": inner(), "minItems": source.randint(0, 2), "maxItems": 3},
        lambda: {"type": "array", "items": inner(), "uniqueItems": True},
        lambda: {"type": "array", "prefixItems": [inner(), inner()], "minItems": 2, "items": False},
        lambda: {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [inner(), inner()]},
        lambda: {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": inner()},
        lambda: {"type": "object", "additionalProperties": inner()},
        lambda: {"type": "object", "patternProperties": {"^x-": inner()}, "additionalProperties": inner()},
        lambda: {"anyOf": [inner(), inner()]},
        lambda: {"anyOf": [inner(), {"type": "null"}]},
        lambda: {"oneOf": [variant("a"), variant("b"), variant("c")]},
        lambda: {"oneOf": [_zod_object(source, 0), _zod_object(source, 0)]},
        lambda: {"allOf": [_zod_object(source, 0), _zod_object(source, 0)]},
        lambda: {"not": {}},
    )
    return dict(source.choice(nested)() if depth and source.random() < 0.6 else source.choice(_ZOD_SCALARS))


_ZOD_SCALARS: tuple[Schema, ...] = (
    {"type": "string"},
    {"type": "string", "minLength": 1, "maxLength": 4},
    {"type": "string", "format": "email"},
    {"type": "string", "format": "uri"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "time", "pattern": "^1"},
    {"type": "string", "format": "ipv4"},
    {"type": "string", "format": "ipv6"},
    {"type": "string", "format": "duration"},
    {"type": "string", "pattern": "^(?:[A-Za-z]{3}|[0-9]+)$"},
    {"type": "string", "pattern": "^c[^\\s-]{8,}$"},
    {"type": "string", "pattern": "^(?!x)y"},
    {"type": "string", "enum": ["a", "b", "c"]},
    {"type": ["string", "number"], "enum": ["a", 1]},
    {"type": ["string", "null"]},
    {"const": None},
    {"type": "number", "const": 1.5},
    {"type": "boolean", "const": True},
    {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991},
    {"type": "integer", "exclusiveMinimum": 0, "maximum": 4},
    {"type": "number", "minimum": -0.5, "exclusiveMaximum": 0.5},
    {"type": "number", "multipleOf": 0.01},
    {"type": "number", "minimum": 3, "exclusiveMinimum": 3, "default": 4},
    {"type": "null"},
    {},
)
