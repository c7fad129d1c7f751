"""Who is tried again, and who wins: quality first, and of those that it does not tell apart, the other objective.

A candidate is as good as another when its mean is within one standard error of the paired difference (the rule of
Breiman et al. 1984, section 3.4.3, for choosing among models).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tuners.search.candidate import BASELINE, Candidate
from tuners.search.evaluator import RATES, Answers, Figures, is_better
from tuners.search.rungs import Values


def choose_finalists(candidates: Sequence[Candidate], count: int, objectives: Sequence[str]) -> list[Candidate]:
    """Of those that reached the top and meet every constraint (without any, of those cut off by the budget): the best,
    then the one with the best other objective that is as good, then the next best; and the baseline, where none of
    them has a higher quality or is better in another objective."""
    for among in (
        [each for each in candidates if each.feasible],
        [each for each in candidates if each.end == "out of budget" and each.meets],
    ):
        if among:
            ranked = sorted(among, key=lambda each: _standing(each, objectives), reverse=True)
            as_good = [each for each in ranked if is_as_good(each.scores, ranked[0].scores)]
            leaner = max(as_good, key=lambda each: gain(each.figures, objectives))
            chosen = list({each.number: each for each in (ranked[0], leaner, *ranked)}.values())[:count]
            ties = [each for each in among if each.number == BASELINE and each.quality >= ranked[0].quality]
            return list({each.number: each for each in (*chosen, *ties)}.values())
    return []


def _standing(candidate: Candidate, objectives: Sequence[str]) -> tuple[float, float, int]:
    """Quality, then the other objective, then who was there first."""
    return candidate.quality, gain(candidate.figures, objectives), -candidate.number


def choose_winner(
    finalists: Sequence[Candidate], finals: Mapping[int, Answers], objectives: Sequence[str]
) -> Candidate:
    """By what they answered with fresh seeds. `finals` has at least one of them."""
    there = [each for each in finalists if each.number in finals]
    figures = {each.number: {**each.figures, **finals[each.number].figures} for each in there}
    means = {each.number: _mean(finals[each.number].scores) for each in there}
    best = max(there, key=lambda each: (means[each.number], _standing(each, objectives)))
    as_good = [each for each in there if is_as_good(finals[each.number].scores, finals[best.number].scores)]
    winner = max(as_good, key=lambda each: (gain(figures[each.number], objectives), means[each.number], -each.number))
    others = [name for name in objectives if name != "quality"]
    for baseline in (each for each in as_good if each.number == BASELINE):
        gains = any(is_better(name, figures[winner.number], figures[BASELINE]) for name in others)
        if means[BASELINE] >= means[winner.number] and not gains:
            return baseline  # a tie is no reason to change anything
    return winner


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
