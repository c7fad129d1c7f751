"""The differences between two configurations, by dotted path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """A dotted path and its value in each configuration; None where a configuration lacks the path."""

    path: str
    a: Any
    b: Any


def config_diff(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[ConfigChange, ...]:
    """The paths whose values differ, sorted."""
    flat_a, flat_b = dict(flatten(a)), dict(flatten(b))
    return tuple(
        ConfigChange(path=path, a=flat_a.get(path), b=flat_b.get(path))
        for path in sorted(flat_a.keys() | flat_b.keys())
        if flat_a.get(path) != flat_b.get(path)
    )


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The leaves of nested mappings as (dotted path, value), in their order. An empty mapping is a leaf."""
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found += flatten(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found
