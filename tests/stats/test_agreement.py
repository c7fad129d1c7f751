"""Cohen's kappa against values worked out by hand, its edges, and its interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbench.stats.agreement import Agreement, Rated, agree


def rated(both: int, a_only: int, b_only: int, neither: int, cluster_size: int = 1) -> list[Rated]:
    verdicts = [(True, True)] * both + [(True, False)] * a_only + [(False, True)] * b_only + [(False, False)] * neither
    return [Rated(cluster=f"k{i // cluster_size}", a=a, b=b) for i, (a, b) in enumerate(verdicts)]


def agreed(*counts: int, cluster_size: int = 1) -> Agreement:
    both, a_only, b_only, neither = counts
    return agree("judge", "ann", rated(both, a_only, b_only, neither, cluster_size))


@pytest.mark.parametrize(
    ("counts", "agreement", "kappa"),
    [
        # p_o = 35/50; p_e = (25·30 + 25·20)/50² = 0.5; κ = (0.7 − 0.5)/0.5
        ((20, 5, 10, 15), 0.7, 0.4),
        # p_o = 60/100 both times; p_e = (70·60 + 30·40)/10⁴ = 0.54 and (60·30 + 40·70)/10⁴ = 0.46
        ((45, 25, 15, 15), 0.6, 0.06 / 0.46),
        ((25, 35, 5, 35), 0.6, 0.14 / 0.54),
        # chance alone
        ((25, 25, 25, 25), 0.5, 0.0),
        # as wrong as can be
        ((0, 10, 10, 0), 0.0, -1.0),
        # one of them always says pass: nothing above chance
        ((8, 2, 0, 0), 0.8, 0.0),
    ],
)
def test_kappa_is_what_is_left_of_agreement_without_chance(
    counts: tuple[int, ...], agreement: float, kappa: float
) -> None:
    found = agreed(*counts)
    assert found.agreement == pytest.approx(agreement)
    assert found.kappa == pytest.approx(kappa)
    assert found.table == (counts[:2], counts[2:])
    assert found.attempts == sum(counts)


def test_the_interval_is_near_the_asymptotic_one_for_independent_attempts() -> None:
    # Fleiss, Cohen & Everitt 1969 for [[20, 5], [10, 15]]: A = 0.4·0.34² + 0.3·0.46² = 0.10972,
    # B = 0.6²·(0.1·1.1² + 0.2·0.9²) = 0.10188, C = (0.4 − 0.5·0.6)² = 0.01; variance (A + B − C)/(0.5²·50) = 0.016128
    found = agreed(20, 5, 10, 15)
    assert found.method == "jackknife"
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * 0.016128**0.5, rel=0.05)
    many = agreed(2000, 500, 1000, 1500)
    assert many.low is not None
    assert many.high is not None
    assert (many.low + many.high) / 2 == pytest.approx(0.4, abs=1e-3)
    assert (many.high - many.low) / 2 == pytest.approx(1.959964 * (0.016128 / 100) ** 0.5, rel=2e-3)


@pytest.mark.long
@pytest.mark.parametrize(("clusters", "repeats"), [(10, 6), (20, 2), (30, 6)])
def test_the_interval_covers_or_is_not_given(clusters: int, repeats: int) -> None:
    # The judge is wrong on a share of a cluster's attempts that differs from cluster to cluster.
    generator = np.random.default_rng(3)
    truth = (0.85 - 0.5) / 0.5  # half of the verdicts pass on either side, a share of 0.15 differ
    covered = []
    for _ in range(300):
        right, wrong = generator.beta(2, 2, size=clusters), generator.beta(0.9, 5.1, size=clusters)
        verdicts = [
            Rated(cluster=f"k{k}", a=bool(a), b=bool(a ^ (generator.random() < wrong[k])))
            for k in range(clusters)
            for a in generator.random(repeats) < right[k]
        ]
        found = agree("judge", "ann", verdicts)
        if found.low is not None and found.high is not None:
            covered.append(found.low <= truth <= found.high)
    assert len(covered) > 200
    assert 0.93 <= np.mean(covered) <= 0.985


def test_few_clusters_have_no_interval() -> None:
    found = agreed(10, 5, 5, 10, cluster_size=4)
    assert (found.low, found.method) == (None, "none")
    assert found.note == (
        "no interval: 30 attempts in clusters worth 7.8 of equal size are too few; at least 20 in 10 are needed"
    )


@pytest.mark.parametrize("counts", [(80, 20, 0, 0), (70, 0, 30, 0), (0, 0, 20, 80), (0, 10, 10, 0)])
def test_an_error_of_nothing_is_no_interval(counts: tuple[int, ...]) -> None:
    found = agreed(*counts)
    assert (found.low, found.high, found.method) == (None, None, "none")
    assert found.note == "no interval: the error of κ can't be estimated from these counts"


def test_repeats_of_a_case_widen_the_interval() -> None:
    # Five repeats of a case that always come out alike tell no more than one.
    once, repeated = agreed(20, 5, 10, 15), agreed(100, 25, 50, 75, cluster_size=5)
    assert (repeated.method, repeated.clusters) == ("jackknife", 50)
    naive = agreed(100, 25, 50, 75)
    widths = [
        each.high - each.low for each in (once, repeated, naive) if each.low is not None and each.high is not None
    ]
    assert widths[1] == pytest.approx(widths[0], rel=0.2)
    assert widths[1] > 1.7 * widths[2]


@pytest.mark.parametrize(
    ("counts", "kappa", "note"),
    [
        ((0, 0, 0, 0), None, "no attempt has a verdict from both"),
        ((7, 0, 0, 0), None, "κ is undefined: both gave pass every time"),
        ((0, 0, 0, 7), None, "κ is undefined: both gave fail every time"),
        ((5, 0, 0, 5), 1.0, "no interval: they never disagreed"),
        ((0, 1, 0, 0), 0.0, "no interval: fewer than two clusters"),
    ],
)
def test_what_can_not_be_known_is_said(counts: tuple[int, ...], kappa: float | None, note: str) -> None:
    found = agreed(*counts)
    assert (found.kappa, found.low, found.high, found.method) == (kappa, None, None, "none")
    assert found.note.startswith(note)
    assert found.agreement is None or 0 <= found.agreement <= 1


@settings(max_examples=40)
@given(st.tuples(*[st.integers(0, 12)] * 4), st.integers(1, 3))
def test_it_is_symmetric_and_within_bounds(counts: tuple[int, int, int, int], cluster_size: int) -> None:
    both, a_only, b_only, neither = counts
    found = agreed(*counts, cluster_size=cluster_size)
    if found.kappa is not None:
        assert -1 <= found.kappa <= 1
        assert agreed(both, b_only, a_only, neither).kappa == pytest.approx(found.kappa)
        assert agreed(neither, a_only, b_only, both).kappa == pytest.approx(found.kappa)
    if found.low is not None and found.high is not None:
        assert -1 <= found.low <= found.high <= 1
    assert bool(found.note) == (found.low is None)
