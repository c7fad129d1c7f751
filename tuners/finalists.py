"""Who is tried again, and who wins: quality first, and of those that it does not tell apart, the other objective.

A candidate is as good as another when its mean is within one standard error of the paired difference (the rule of
Breiman et al. 1984, section 3.4.3, for choosing among models).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tuners.candidate import Candidate
from tuners.evaluator import RATES, Answers, Figures
from tuners.rungs import Values


def rank(candidate: Candidate) -> tuple[float, float]:
    """Quality, then goodput."""
    return candidate.quality, candidate.figures.get("goodput", 0.0)


def choose_finalists(candidates: Sequence[Candidate], count: int, objectives: Sequence[str]) -> list[Candidate]:
    """Of those that reached the top and meet every constraint (without any, of those cut off by the budget): the best,
    then the one with the best other objective that is as good, then the next best."""
    for among in (
        [each for each in candidates if each.feasible],
        [each for each in candidates if each.end == "out of budget" and each.meets],
    ):
        if among:
            ranked = sorted(among, key=rank, reverse=True)
            as_good = [each for each in ranked if is_as_good(each.scores, ranked[0].scores)]
            leaner = max(as_good, key=lambda each: gain(each.figures, objectives))
            return list({each.number: each for each in (ranked[0], leaner, *ranked)}.values())[:count]
    return []


def choose_winner(
    finalists: Sequence[Candidate], finals: Mapping[int, Answers], objectives: Sequence[str]
) -> Candidate:
    """By what they answered with fresh seeds. `finals` has at least one of them."""
    there = [each for each in finalists if each.number in finals]
    best = max(there, key=lambda each: (_mean(finals[each.number].scores), rank(each)))
    as_good = [each for each in there if is_as_good(finals[each.number].scores, finals[best.number].scores)]
    return max(as_good, key=lambda each: gain({**each.figures, **finals[each.number].figures}, objectives))


def is_as_good(values: Values, best: Values) -> bool:
    """Whether the mean is less than one standard error of the paired difference below that of the best."""
    shared = values.keys() & best.keys()
    differences = np.array([best[case] - values[case] for case in shared])
    if not shared:
        return False
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(shared)) if len(shared) > 1 else 0.0
    return float(np.mean(differences)) <= error + 1e-9


def gain(figures: Figures, objectives: Sequence[str]) -> float:
    """The first objective beside quality, more being better; nothing where there is none."""
    metric = next((name for name in objectives if name != "quality"), None)
    if metric is None:
        return 0.0
    if metric not in figures:
        return -math.inf
    return figures[metric] if metric in RATES else -figures[metric]


def _mean(values: Values) -> float:
    return sum(values.values()) / len(values) if values else 0.0
