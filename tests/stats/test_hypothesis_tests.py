"""Holm's adjustment by hand and against statsmodels; the sign-flip test against every choice of signs."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from agentbench.stats.hypothesis_tests import holm, lattice_step, sign_flip_tails


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {}


def test_it_is_that_of_statsmodels() -> None:
    values = np.random.default_rng(3).random(40) ** 4
    found = holm({str(number): float(value) for number, value in enumerate(values)})
    assert list(found.values()) == pytest.approx(list(multipletests(values, method="holm")[1]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_it_never_lowers_a_p_nor_changes_their_order(values: list[float]) -> None:
    before = {str(number): value for number, value in enumerate(values)}
    after = holm(before)
    assert all(before[name] <= after[name] <= 1 for name in before)
    ranked = sorted(before, key=lambda name: before[name])
    assert all(after[one] <= after[other] for one, other in pairwise(ranked))


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9), st.integers(1, 5))
def test_it_counts_every_choice_of_signs(sums: list[int], repeats: int) -> None:
    step = lattice_step([repeats])
    less, more = sign_flip_tails(np.array(sums) * step, step)
    totals = np.array([np.dot(signs, sums) for signs in product((-1, 1), repeat=len(sums))])
    assert less == pytest.approx(np.mean(totals <= sum(sums)), abs=1e-9)
    assert more == pytest.approx(np.mean(totals >= sum(sums)), abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=1, max_size=30))
def test_exchanging_the_runs_exchanges_the_tails(sums: list[float]) -> None:
    one, other = sign_flip_tails(np.array(sums), 1e-9), sign_flip_tails(-np.array(sums), 1e-9)
    assert one == other[::-1]


def test_once_per_case_it_is_mcnemars_exact_test() -> None:
    less, more = sign_flip_tails(np.array([1.0] * 37 + [-1.0] * 52 + [0.0] * 300), 1.0)
    assert less == pytest.approx(stats.binomtest(37, 89, alternative="less").pvalue)
    assert more == pytest.approx(stats.binomtest(37, 89, alternative="greater").pvalue)


def test_unlike_repeats_of_one_configuration_are_not_worse() -> None:
    # A baseline of 5 repeats and a run of one, both right 1 time in 10: a sign test finds the run worse here.
    generator = np.random.default_rng(0)
    found = []
    for _ in range(200):
        baseline = (generator.random((200, 5)) < 0.1).mean(axis=1)
        differences = (generator.random(200) < 0.1) - baseline
        signs = int(np.sum(differences > 0)), int(np.sum(differences < 0))
        sign = stats.binom.cdf(signs[0], sum(signs), 0.5)
        found.append((sign_flip_tails(differences, lattice_step([1, 5]))[0] < 0.05, sign < 0.05))
    ours, signs_only = np.mean(found, axis=0)
    assert ours <= 0.08
    assert signs_only > 0.5
