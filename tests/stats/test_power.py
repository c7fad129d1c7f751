"""The stated power against McNemar's test by enumeration and by drawing."""

import numpy as np
import pytest
from scipy import stats

from agentbench.core.errors import UserError
from agentbench.stats.comparison import compare_passes
from agentbench.stats.hypothesis_tests import sign_flip_tails
from agentbench.stats.pairs import differences_of
from agentbench.stats.power import CaseMeans, cases_needed, drop_power, mcnemar_power, planned
from agentbench.stats.samples import Floats, cluster_sums
from tests.stats.attempts import verdicts


def by_enumeration(cases: int, better: float, worse: float, alpha: float) -> float:
    """Σ over how many pairs changed each way, where the exact one-sided test finds it."""
    found = 0.0
    for up in range(cases + 1):
        for down in range(cases + 1 - up):
            if up + down and stats.binom.cdf(up, up + down, 0.5) < alpha:
                found += stats.multinomial.pmf(
                    [up, down, cases - up - down], cases, [better, worse, 1 - better - worse]
                )
    return found


def test_mcnemars_power_is_that_of_every_outcome_added_up() -> None:
    # 0.2 flip without a drop; a drop of 0.15 of a rate of 0.6 takes a quarter of the flips with it.
    expected = by_enumeration(25, better=0.075, worse=0.225, alpha=0.05)
    assert mcnemar_power(25, 0.2, drop=0.15, alpha=0.05, rate=0.6) == pytest.approx(expected, abs=1e-9)


def test_more_is_found_of_more() -> None:
    found = [[mcnemar_power(cases, 0.1, drop, 0.05, 0.8) for drop in (0.02, 0.05, 0.1, 0.3)] for cases in (20, 80, 320)]
    assert (np.diff(found, axis=0) > 0).all()
    assert (np.diff(found, axis=1) > 0).all()
    assert mcnemar_power(4, 0.1, 0.8, 0.05, 0.8) == 0.0


def test_the_smallest_detectable_drop_is_found_with_the_power_that_is_said() -> None:
    a, b = verdicts("1" * 70 + "0" * 25 + "10110"), verdicts("1" * 70 + "0" * 25 + "01001")
    found = compare_passes(a, b)
    assert found.power is not None
    assert found.smallest_detectable is not None
    assert found.power.of(found.smallest_detectable, alpha=0.025) == pytest.approx(0.8, abs=0.002)
    assert compare_passes(verdicts("1111"), verdicts("0000")).smallest_detectable is None


def test_clusters_and_repeats_have_a_power_too() -> None:
    text = "1" * 60 + "01" * 20
    independent = compare_passes(verdicts(text), verdicts(text[::-1]))
    clustered = compare_passes(verdicts(text, 5), verdicts(text[::-1], 5))
    assert independent.power is not None
    assert clustered.power is not None
    assert 0 < clustered.power.of(0.15, 0.05) < 1
    assert clustered.power.of(0.3, 0.05) > clustered.power.of(0.15, 0.05)
    assert clustered.power.of(0, 0.05) == 0
    assert clustered.power.within(0.05, 0.05) < clustered.power.within(0.2, 0.05)


@pytest.mark.parametrize(("clusters", "size", "drop"), [(5, 20, 0.3), (8, 20, 0.2), (8, 20, 0.1)])
def test_the_power_of_few_large_clusters_is_that_of_drawing(clusters: int, size: int, drop: float) -> None:
    generator = np.random.default_rng(5)
    names = [f"k{number // size}" for number in range(clusters * size)]

    def means(chances: Floats, lost: float = 0.0) -> Floats:
        kept = chances * (generator.random(len(chances)) >= lost / 0.9)
        return (generator.random(len(chances)) < kept).astype(float)

    stated, found = [], []
    for _ in range(80):
        chances = generator.beta(0.9, 0.1, size=clusters * size)
        numbers = np.arange(clusters * size) // size
        run, baseline = means(chances), means(chances)
        same = CaseMeans(run=run, baseline=baseline, clusters=numbers, count=clusters)
        stated.append(
            drop_power(differences_of(run - baseline, names, verdicts=True, single=True), same).of(drop, 0.05)
        )
        sums = cluster_sums(means(chances, drop) - means(chances), numbers)
        found.append(sign_flip_tails(sums, 1.0)[0] < 0.05)
    assert np.mean(stated) == pytest.approx(np.mean(found), abs=0.12)


def test_the_cases_needed_are_the_least_that_do() -> None:
    needed = cases_needed(0.1, rate=0.7, flips=0.2)
    assert planned(needed, 0.7, 0.2).of(0.1, 0.05) >= 0.8
    assert planned(needed - 5, 0.7, 0.2).of(0.1, 0.05) < 0.8
    assert cases_needed(0.1, rate=0.7, flips=0.2, repeats=4) < needed < cases_needed(0.05, rate=0.7, flips=0.2)
    with pytest.raises(UserError, match=r"a difference of 0\.8 is not above 0 and at most the pass rate, 0\.7"):
        cases_needed(0.8, rate=0.7, flips=0.2)
    with pytest.raises(UserError, match=r"flips of 0\.9 are not from 0 to 0\.6"):
        cases_needed(0.1, rate=0.7, flips=0.9)
