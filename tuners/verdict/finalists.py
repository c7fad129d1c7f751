"""Chooses the finalists and the winner: by quality first, then by the other objective among those that are as good.

A candidate is as good as the best when its mean score is at most one standard error of the paired difference lower
(the one-standard-error rule of Breiman et al. 1984, section 3.4.3).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tuners.search.candidate import BASELINE, Candidate
from tuners.search.evaluator import RATES, Answers, Figures, is_better
from tuners.search.rungs import Values


def choose_finalists(candidates: Sequence[Candidate], count: int, objectives: Sequence[str]) -> list[Candidate]:
    """At most `count` finalists, and the baseline if its quality is not below the best one's.

    They are feasible candidates, or else candidates that the budget ended and that meet the constraints. The first is
    the best in quality. The second is the best in the other objective among those that are as good. Then come the next
    best in quality.
    """
    for among in (
        [each for each in candidates if each.feasible],
        [each for each in candidates if each.end == "out of budget" and each.meets],
    ):
        if among:
            ranked = sorted(among, key=lambda each: _standing(each, objectives), reverse=True)
            as_good = [each for each in ranked if is_as_good(each.scores, ranked[0].scores)]
            most_gain = max(as_good, key=lambda each: gain(each.figures, objectives))
            chosen = list({each.number: each for each in (ranked[0], most_gain, *ranked)}.values())[:count]
            ties = [each for each in among if each.number == BASELINE and each.quality >= ranked[0].quality]
            return list({each.number: each for each in (*chosen, *ties)}.values())
    return []


def _standing(candidate: Candidate, objectives: Sequence[str]) -> tuple[float, float, int]:
    """The sort key: quality, then the other objective, then the lower number."""
    return candidate.quality, gain(candidate.figures, objectives), -candidate.number


def choose_winner(
    finalists: Sequence[Candidate], finals: Mapping[int, Answers], objectives: Sequence[str]
) -> Candidate:
    """The winner by the finalists' answers with fresh seeds; `finals` has the answers of at least one, by number.

    Of the finalists that are as good as the best, it is the best in the other objective. The baseline wins a tie.
    """
    answered = [each for each in finalists if each.number in finals]
    figures = {each.number: {**each.figures, **finals[each.number].figures} for each in answered}
    means = {each.number: _mean(finals[each.number].scores) for each in answered}
    best = max(answered, key=lambda each: (means[each.number], _standing(each, objectives)))
    as_good = [each for each in answered if is_as_good(finals[each.number].scores, finals[best.number].scores)]
    winner = max(as_good, key=lambda each: (gain(figures[each.number], objectives), means[each.number], -each.number))
    others = [name for name in objectives if name != "quality"]
    for baseline in (each for each in as_good if each.number == BASELINE):
        gains = any(is_better(name, figures[winner.number], figures[BASELINE]) for name in others)
        if means[BASELINE] >= means[winner.number] and not gains:
            return baseline
    return winner


def is_as_good(values: Values, best: Values) -> bool:
    """Whether the mean over shared cases is at most one standard error of the paired difference below the best's."""
    shared = values.keys() & best.keys()
    differences = np.array([best[case] - values[case] for case in shared])
    if not shared:
        return False
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(shared)) if len(shared) > 1 else 0.0
    return float(np.mean(differences)) <= error + 1e-9


def gain(figures: Figures, objectives: Sequence[str]) -> float:
    """The first objective besides quality, scaled so that more is better; 0 without one, −inf when it is unknown."""
    metric = next((name for name in objectives if name != "quality"), None)
    if metric is None:
        return 0.0
    if metric not in figures:
        return -math.inf
    return figures[metric] if metric in RATES else -figures[metric]


def _mean(values: Values) -> float:
    return sum(values.values()) / len(values) if values else 0.0
