"""The Pareto front: candidates that no other is at least as good as in every objective, and better in one."""

from collections.abc import Sequence

from tuners.candidate import Candidate
from tuners.evaluator import RATES


def front(candidates: Sequence[Candidate], objectives: Sequence[str]) -> list[Candidate]:
    """Of the feasible ones that have every objective's figure, the best quality first."""
    points = {each.number: _point(each, objectives) for each in candidates if each.feasible}
    kept = [
        each
        for each in candidates
        if (point := points.get(each.number)) is not None
        and not any(other is not None and _dominates(other, point) for other in points.values())
    ]
    return sorted(kept, key=lambda each: -each.quality)


def _point(candidate: Candidate, objectives: Sequence[str]) -> tuple[float, ...] | None:
    """The objectives, more being better in each; None when one is not known."""
    known = {**candidate.figures, "quality": candidate.quality}
    if any(name not in known for name in objectives):
        return None
    return tuple(known[name] if name in RATES else -known[name] for name in objectives)


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))
