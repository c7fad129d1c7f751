"""The Pareto front: the points that no other point beats."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key")


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is at least as good as `b` in every value and better in one. More is better."""
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))


def pareto_front(points: Mapping[Key, Sequence[float]]) -> list[Key]:
    """The keys of the points that no other point dominates, in the mapping's order. Equal points are all on it."""
    return [key for key, point in points.items() if not any(dominates(other, point) for other in points.values())]
