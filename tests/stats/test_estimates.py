"""Means and percentiles with their intervals by hand, against SciPy, by simulation; pass@k against every choice."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agentbench.core.errors import UserError
from agentbench.stats.estimates import (
    mean_estimate,
    pass_at_k,
    pass_at_k_estimate,
    pass_hat_k,
    pass_hat_k_estimate,
    percentile_estimate,
    repeated,
)
from agentbench.stats.intervals import mean_error, normal_quantile, wilson
from agentbench.stats.samples import CaseSample, passes, scores
from tests.stats.attempts import an_outcome, verdicts


def samples(values: list[float], clusters: list[str] | None = None) -> list[CaseSample]:
    names = clusters or [str(i) for i in range(len(values))]
    return [CaseSample(case_id=f"c{i}", cluster=names[i], values=(value,)) for i, value in enumerate(values)]


fractions = st.lists(st.floats(0, 1), min_size=2, max_size=30)


@given(fractions)
def test_without_clusters_the_error_is_that_of_a_mean(values: list[float]) -> None:
    error = mean_error(np.array(values), [str(i) for i in range(len(values))]).standard_error
    assert error == pytest.approx(stats.sem(values), abs=1e-12)


def test_the_clustered_error_by_hand() -> None:
    # Mean 0.5; the clusters' sums of deviations are 1.0, -1.0 and 0: √(3/2 · 2) / 6.
    values = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    found = mean_error(values, ["a", "a", "b", "b", "c", "c"])
    assert (found.freedom, found.effective) == pytest.approx((2, 3))
    assert found.standard_error == pytest.approx(np.sqrt(3.0) / 6)
    assert mean_error(values, ["a"] * 6).standard_error is None


def test_the_factor_and_the_degrees_of_freedom_are_those_of_the_matrix() -> None:
    # Sums of what is left after the mean, with the covariance A·D·A': worked out in full, not by traces.
    generator = np.random.default_rng(4)
    sizes = np.array([9, 1, 4, 4, 2])
    codes = np.repeat(np.arange(5), sizes)
    values = (generator.random(5)[codes] + 0.5 * generator.random(20)) / 1.5
    found = mean_error(values, codes)
    frame = [values[codes == cluster] for cluster in range(5)]
    within = sum(float(np.sum((each - each.mean()) ** 2)) for each in frame) / 15
    between = sum(len(each) * (each.mean() - values.mean()) ** 2 for each in frame) / 4
    size = (20 - np.sum(sizes**2) / 20) / 4
    shared = (between - within) / size
    alike = shared / (shared + within)
    diagonal = np.diag(sizes * (1 + (sizes - 1) * alike))
    left = np.eye(5) - np.outer(sizes / 20, np.ones(5))
    covariance = left @ diagonal @ left.T
    assert found.freedom == pytest.approx(np.trace(covariance) ** 2 / np.trace(covariance @ covariance))
    squares = sum(float(np.sum(each - values.mean())) ** 2 for each in frame)
    factor = np.trace(diagonal) / np.trace(covariance)
    assert found.standard_error == pytest.approx(np.sqrt(factor * squares) / 20)


def test_one_large_cluster_among_small_ones_gives_no_interval() -> None:
    sizes = [100] + [2] * 9
    clusters = [f"k{cluster}" for cluster, size in enumerate(sizes) for _ in range(size)]
    estimate = mean_estimate(samples([float(i % 3 > 0) for i in range(118)], clusters))
    assert estimate is not None
    assert (estimate.low, estimate.high, estimate.method) == (None, None, "none")
    assert estimate.clusters == 10
    assert estimate.effective_clusters == pytest.approx(118**2 / 10_036)


def test_intervals_cover_with_clusters_of_unequal_size() -> None:
    generator = np.random.default_rng(6)
    covered = []
    for sizes in ([60, 30, 20, 15, 12, 10, 9, 8, 7, 6], [30] + [5] * 10, [60] + [5] * 20):
        clusters = np.repeat(np.arange(len(sizes)), sizes)
        names = [f"k{cluster}" for cluster in clusters]
        for _ in range(150):
            chances = generator.beta(1.2, 0.8, size=len(sizes))[clusters]
            found = mean_estimate(samples(list((generator.random(len(names)) < chances).astype(float)), names))
            assert found is not None
            assert found.low is not None
            assert found.high is not None
            covered.append(found.low <= 0.6 <= found.high)
    assert np.mean(covered) >= 0.93


def test_graded_scores_get_students_interval_but_for_the_bounds() -> None:
    # Far from 0 and 1 against their spread, Wilson's interval of the effective size is that of t.
    values = [0.52, 0.5, 0.49, 0.51, 0.5, 0.48]
    estimate = mean_estimate(samples(values))
    assert estimate is not None
    expected = stats.t.interval(0.95, 5, loc=np.mean(values), scale=stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx(expected, abs=2e-4)
    assert estimate.method == "wilson, effective size"


@given(st.integers(1, 200), st.data())
def test_pass_or_fail_gets_wilsons_interval(trials: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, trials))
    estimate = mean_estimate(samples([1.0] * passed + [0.0] * (trials - passed)))
    expected = stats.binomtest(passed, trials).proportion_ci(method="wilson")
    assert estimate is not None
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_right_or_all_wrong_is_not_certainty(value: float) -> None:
    clustered = mean_estimate(samples([value] * 20, [str(i // 4) for i in range(20)]))
    assert clustered is not None
    assert clustered.high is not None
    assert clustered.low is not None
    # As wide as five independent cases, not twenty, would give.
    assert (clustered.low, clustered.high) == wilson(value, 5, normal_quantile(0.95))
    assert clustered.high - clustered.low > 0.4


@given(st.lists(st.tuples(st.lists(st.floats(0, 1), min_size=1, max_size=3), st.sampled_from("abc")), min_size=1))
def test_an_estimate_lies_in_its_interval_in_the_unit_interval(rows: list[tuple[list[float], str]]) -> None:
    cases = [
        CaseSample(case_id=str(i), cluster=cluster, values=tuple(values)) for i, (values, cluster) in enumerate(rows)
    ]
    estimate = mean_estimate(cases)
    assert estimate is not None
    if estimate.low is not None and estimate.high is not None:
        assert -1e-9 <= estimate.low <= estimate.value + 1e-9 <= estimate.high + 2e-9 <= 1 + 3e-9


def test_repeats_are_averaged_and_failures_are_left_out() -> None:
    attempts = [an_outcome("a", True), an_outcome("a", False, repeat=1), an_outcome("b", None)]
    grouped = passes(attempts)
    assert [(sample.case_id, sample.mean) for sample in grouped] == [("a", 0.5)]
    assert list(scores(attempts, "exact")) == []
    assert mean_estimate([]) is None


def test_a_percentile_is_linear_and_its_interval_of_order_statistics() -> None:
    cases = samples([float(i) for i in range(1, 101)])
    estimate = percentile_estimate(cases, 95)
    assert estimate is not None
    assert estimate.value == pytest.approx(95.05)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < 95.05 < estimate.high <= 100
    # P(X_(91) ≤ q < X_(99)) and such, for the binomial number below the quantile; between them interpolated.
    assert stats.binom.cdf(np.floor(estimate.low) - 1, 100, 0.95) < 0.025
    assert stats.binom.cdf(np.ceil(estimate.low) - 1, 100, 0.95) > 0.025
    few = percentile_estimate(samples([float(i) for i in range(20)]), 95)
    assert few is not None
    assert few.low is not None
    assert few.high is None


def test_one_cluster_has_no_interval() -> None:
    estimate = percentile_estimate(samples([1.0, 2.0], ["a", "a"]), 50)
    assert estimate is not None
    assert estimate.low is None


def test_an_estimate_of_verdicts_reads_them_all() -> None:
    estimate = mean_estimate(passes(verdicts("1101f")))
    assert estimate is not None
    assert estimate.value == 0.75
    assert estimate.cases == 4


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_they_are_the_shares_of_choices(tries: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(tries)))
    choices = list(combinations(tries, k))
    assert pass_at_k(len(tries), sum(tries), k) == pytest.approx(sum(map(any, choices)) / len(choices))
    assert pass_hat_k(len(tries), sum(tries), k) == pytest.approx(sum(map(all, choices)) / len(choices))


def test_they_are_averaged_over_cases() -> None:
    samples = [
        CaseSample(case_id="a", cluster="a", values=(1.0, 0.0)),
        CaseSample(case_id="b", cluster="b", values=(1.0, 1.0)),
    ]
    once, twice, always = (
        pass_at_k_estimate(samples, 1),
        pass_at_k_estimate(samples, 2),
        pass_hat_k_estimate(samples, 2),
    )
    assert once
    assert twice
    assert always
    assert (once.value, twice.value, always.value) == (0.75, 1.0, 0.5)
    # Two cases that both came out right at least once are no proof.
    assert twice.low == pytest.approx(wilson(1.0, 2, normal_quantile(0.95))[0])
    assert pass_at_k_estimate([], 1) is None


def test_a_case_with_a_failed_attempt_does_not_make_it_another_k() -> None:
    # 40 cases × 4: 12 crashes in 10 of them, 11 of the 30 others right every time.
    cases = [
        CaseSample(case_id=f"c{i:02}", cluster=f"c{i:02}", values=(1.0, 1.0, 1.0, float(i < 11))[: 4 if i < 30 else 3])
        for i in range(40)
    ]
    found = repeated(cases, 4)
    assert found is not None
    assert found.pass_hat_k is not None
    assert (found.k, found.pass_hat_k.cases) == (4, 30)
    assert found.pass_hat_k.value == pytest.approx(11 / 30)
    nothing = repeated(cases, 5)
    assert nothing is not None
    assert nothing.pass_hat_k is None
    assert repeated(cases, 1) is None


@pytest.mark.parametrize("k", [0, 3])
def test_more_tries_than_repeats_are_refused(k: int) -> None:
    with pytest.raises(UserError, match=f"k = {k} is not from 1 to 2"):
        pass_at_k(2, 1, k)
