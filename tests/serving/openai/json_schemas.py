"""Random JSON schemas with short values."""

import random
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
NAMES = ("name", "kind", "count", "tags", "owner", "active", "size", "first-name", "größe", "a.b")
WORDS = ("red", "green", "blue", "two words", 'a "quote"', "naïve")


def schema(source: random.Random, depth: int = 2) -> Schema:
    """A schema of an object with properties of all types."""
    names = source.sample(NAMES, source.randint(1, 3))
    required = [name for name in names if source.random() < 0.7] or names[:1]
    properties = {name: value(source, depth) for name in names}
    shape: Schema = {"type": "object", "properties": properties, "required": required}
    return shape | ({"additionalProperties": False} if source.random() < 0.7 else {})


def value(source: random.Random, depth: int) -> Schema:
    scalars: tuple[Callable[[], Schema], ...] = (
        lambda: {"type": "string", "maxLength": source.randint(1, 12)},
        lambda: {"type": "integer", "minimum": -5, "maximum": source.choice([0, 9, 1000])},
        lambda: {"type": "boolean"},
        lambda: {"enum": source.sample([*WORDS, 1, None, True], 3)},
        lambda: {"const": source.choice(WORDS)},
        lambda: {"type": ["integer", "null"], "minimum": 0, "maximum": 99},
        lambda: {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{2,4}$"},
        lambda: {"type": "string", "format": "date"},
    )
    nested: tuple[Callable[[], Schema], ...] = (
        lambda: schema(source, depth - 1),
        lambda: {"type": "array", "items": value(source, depth - 1), "minItems": 1, "maxItems": 3},
        lambda: {"anyOf": [value(source, depth - 1), value(source, depth - 1)]},
    )
    return source.choice(scalars + nested * 2 if depth else scalars)()
