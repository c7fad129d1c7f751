"""What two configurations differ in, by dotted path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """A dotted path and its value on each side; None where a side does not have it."""

    path: str
    a: Any
    b: Any


def config_diff(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[ConfigChange, ...]:
    """The paths whose values differ, in order."""
    flat_a, flat_b = dict(flat(a)), dict(flat(b))
    return tuple(
        ConfigChange(path=path, a=flat_a.get(path), b=flat_b.get(path))
        for path in sorted(flat_a.keys() | flat_b.keys())
        if flat_a.get(path) != flat_b.get(path)
    )


def flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The leaves of a tree of mappings by their dotted paths, in order."""
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found += flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found
