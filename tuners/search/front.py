"""The Pareto front: candidates that no other is at least as good as in every objective, and better in one."""

from collections.abc import Mapping, Sequence, Set

import numpy as np

from tuners.search.candidate import Candidate
from tuners.search.evaluator import RATES


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


def front_so_far(candidates: Sequence[Candidate], objectives: Sequence[str]) -> list[Candidate]:
    """The front of a study that has not ended: those that went all the way, and those still on it or ended by the
    budget. Two are compared on the cases that both have answered, and by their figures on the last rung of both."""
    standing = [each for each in candidates if each.end in ("finished", "out of budget", "unfinished") and each.meets]
    known = [each for each in standing if each.scores and _point(each, objectives) is not None]
    kept = [each for each in known if not any(_dominates_so_far(other, each, objectives) for other in known)]
    return sorted(kept, key=lambda each: -each.quality)


def _dominates_so_far(a: Candidate, b: Candidate, objectives: Sequence[str]) -> bool:
    shared = a.scores.keys() & b.scores.keys()
    if not shared or a.number == b.number:
        return False
    points = [_values(_on(each, shared, min(a.rung, b.rung)), objectives) for each in (a, b)]
    return points[0] is not None and points[1] is not None and _dominates(points[0], points[1])


def _on(candidate: Candidate, cases: Set[str], rung: int) -> dict[str, float]:
    """Its quality on these cases, and its figures on the rung: those of the last where it did not answer that one
    itself."""
    quality = float(np.mean([candidate.scores[case] for case in cases]))
    figures = candidate.figures if rung == candidate.rung else candidate.at_rung(rung) or candidate.figures
    return {**figures, "quality": quality}


def _point(candidate: Candidate, objectives: Sequence[str]) -> tuple[float, ...] | None:
    return _values({**candidate.figures, "quality": candidate.quality}, objectives)


def _values(known: Mapping[str, float], objectives: Sequence[str]) -> tuple[float, ...] | None:
    """The objectives, more being better in each; None when one is not known."""
    if any(name not in known for name in objectives):
        return None
    return tuple(known[name] if name in RATES else -known[name] for name in objectives)


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))
