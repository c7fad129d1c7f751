"""The paired comparison: by hand, against SciPy, and by simulation."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agentbench.core.errors import UserError
from agentbench.stats.comparison import compare_latency, compare_passes
from agentbench.stats.outcomes import Outcome, outcome_of
from agentbench.stats.pairs import differences_of
from tests.stats.attempts import a_call, an_attempt, an_outcome, verdicts

outcomes = st.lists(st.tuples(st.sampled_from("01f"), st.sampled_from("01f")), min_size=1, max_size=40)


def text(pairs: list[tuple[str, str]], side: int) -> str:
    return "".join(pair[side] for pair in pairs)


def test_a_comparison_by_hand() -> None:
    found = compare_passes(verdicts("1111111100"), verdicts("1100000011"))
    assert found.rate_a == 0.8
    assert found.rate_b == 0.4
    assert found.difference == pytest.approx(0.4)
    assert found.better_in_a == ("c002", "c003", "c004", "c005", "c006", "c007")
    assert found.better_in_b == ("c008", "c009")
    assert found.test == "exact McNemar"
    # Two-sided: 2 · (C(8,0) + C(8,1) + C(8,2)) / 2⁸.
    assert found.p_value == pytest.approx(2 * 37 / 256)


@settings(deadline=None)
@given(outcomes)
def test_the_test_is_mcnemars_exact_one(pairs: list[tuple[str, str]]) -> None:
    found = compare_passes(verdicts(text(pairs, 0)), verdicts(text(pairs, 1)))
    up = sum(pair == ("1", "0") for pair in pairs)
    down = sum(pair == ("0", "1") for pair in pairs)
    if found.cases:
        expected = stats.binomtest(up, up + down).pvalue if up + down else 1.0
        assert found.p_value == pytest.approx(expected)
    assert found.excluded == sum("f" in pair for pair in pairs)
    assert found.cases == len(pairs) - found.excluded


@settings(deadline=None)
@given(outcomes, st.integers(1, 4))
def test_exchanging_the_runs_turns_the_sign(pairs: list[tuple[str, str]], size: int) -> None:
    a, b = verdicts(text(pairs, 0), size), verdicts(text(pairs, 1), size)
    one, other = compare_passes(a, b), compare_passes(b, a)
    assert one.p_value == other.p_value
    assert one.better_in_a == other.better_in_b
    if one.difference is not None and one.low is not None:
        assert other.difference == pytest.approx(-one.difference)
        assert other.high == pytest.approx(-one.low)
        assert one.high is not None
        assert one.low - 1e-9 <= one.difference <= one.high + 1e-9


def test_runs_that_agree_everywhere_are_not_known_to_be_equal() -> None:
    for size in (1, 4):
        found = compare_passes(verdicts("1" * 40, size), verdicts("1" * 40, size))
        assert found.difference == 0
        assert found.p_value == 1
        assert found.low is not None
        assert found.high is not None
        assert found.low < -0.01 < 0.01 < found.high


def test_a_failure_takes_its_pair_from_both_sides() -> None:
    found = compare_passes(verdicts("1f1"), verdicts("11f"))
    assert (found.cases, found.excluded, found.rate_a, found.rate_b) == (1, 2, 1.0, 1.0)


def test_a_failed_repeat_leaves_the_case_its_others() -> None:
    a = [an_outcome("x", True), an_outcome("x", None, repeat=1)]
    b = [an_outcome("x", False), an_outcome("x", True, repeat=1)]
    found = compare_passes(a, b)
    assert (found.rate_a, found.rate_b, found.excluded) == (1.0, 0.0, 1)


def test_a_repeat_that_waits_for_a_verdict_is_left_out_of_both() -> None:
    waiting = replace(an_outcome("c1", True, repeat=1), passed=None)
    found = compare_passes(
        [an_outcome("c1", True), waiting], [an_outcome("c1", True), an_outcome("c1", False, repeat=1)]
    )
    assert (found.difference, found.excluded, found.better_in_a) == (0.0, 1, ())


def test_as_many_repeats_are_compared_on_either_side() -> None:
    a = [an_outcome("x", repeat < 1, repeat=repeat) for repeat in range(5)]
    found = compare_passes([*a, an_outcome("y", True)], [an_outcome("x", True)])
    assert (found.cases, found.rate_a, found.difference, found.unmatched, found.unpaired) == (1, 1.0, 0.0, 4, 1)


@pytest.mark.long
@pytest.mark.parametrize(("repeats", "cases", "rate"), [((5, 1), 20, 0.9), ((1, 5), 20, 0.9), ((10, 1), 50, 0.97)])
def test_unequal_repeats_of_one_configuration_differ_no_more_often_than_said(
    repeats: tuple[int, int], cases: int, rate: float
) -> None:
    generator = np.random.default_rng(8)

    def run(times: int) -> list[Outcome]:
        passed = generator.random((cases, times)) < rate
        return [
            Outcome(case_id=f"c{i:02}", cluster=f"c{i:02}", repeat=r, passed=bool(passed[i, r]))
            for i, r in product(range(cases), range(times))
        ]

    found = [compare_passes(run(repeats[0]), run(repeats[1])) for _ in range(250)]
    assert np.mean([each.p_worse is not None and each.p_worse < 0.05 for each in found]) <= 0.06
    assert np.mean([each.p_value is not None and each.p_value < 0.05 for each in found]) <= 0.06
    inside = [each.low <= 0 <= each.high for each in found if each.low is not None and each.high is not None]
    assert np.mean(inside) >= 0.93


@pytest.mark.parametrize(("cases", "repeats"), [(20, 5), (20, 10), (40, 10), (60, 10)])
def test_a_bar_of_repeated_verdicts_holds_where_few_cases_break_altogether(cases: int, repeats: int) -> None:
    # Most cases differ by a repeat or two; the few that broke, of which some runs have none, by all of them.
    generator = np.random.default_rng(9)
    names, margin = [f"c{case}" for case in range(cases)], 0.05
    passes, covered = [], []
    for _ in range(400):
        rate = generator.uniform(0.6, 0.98)
        chances = generator.beta(rate, 1 - rate, size=cases)
        kept = chances * (generator.random(cases) >= margin / rate)
        values = (generator.binomial(repeats, kept) - generator.binomial(repeats, chances)) / repeats
        found = differences_of(values, names, verdicts=True)
        bound, (low, high) = found.lower_bound(0.05), found.interval(0.95)
        assert bound is not None
        assert low is not None
        assert high is not None
        passes.append(bound > -margin)
        covered.append(low - 1e-9 <= -margin <= high + 1e-9)
    assert np.mean(passes) <= 0.06
    assert np.mean(covered) >= 0.935


def test_an_interval_of_changes_in_one_direction_has_no_gap() -> None:
    # Steps of half their own size and half 1 would leave a share below 0 of pairs that changed for the better.
    values = np.array([-1.0] * 4 + [-0.5] * 2 + [0.0] * 14)
    found = differences_of(values, [str(case) for case in range(20)], verdicts=True)
    low, high = found.interval(0.95)
    assert low is not None
    assert high is not None
    assert low < found.mean < -0.09 < high < 0


def test_cases_of_one_run_only_are_counted_and_left_out() -> None:
    found = compare_passes(verdicts("111"), verdicts("11"))
    assert (found.cases, found.unpaired) == (2, 1)
    nothing = compare_passes(verdicts("1"), [])
    assert nothing.difference is None
    assert nothing.unpaired == 1


def test_repeats_get_a_sign_flip_test_on_case_means() -> None:
    a = [an_outcome(f"c{i}", True, repeat=r) for i in range(6) for r in range(2)]
    b = [an_outcome(f"c{i}", r == 0, repeat=r) for i in range(6) for r in range(2)]
    found = compare_passes(a, b)
    assert found.test == "exact sign-flip on case means"
    assert found.difference == pytest.approx(0.5)
    assert found.p_value == pytest.approx(2 / 64)


def test_clusters_vote_once() -> None:
    found = compare_passes(verdicts("1" * 12, 4), verdicts("0" * 12, 4))
    assert found.test == "exact sign-flip on clusters"
    assert found.p_value == pytest.approx(2 / 8)
    assert found.clusters == 3
    assert found.smallest_detectable is None


def test_a_latency_is_paired_on_case() -> None:
    a = [outcome_of(an_attempt(f"c{i}", calls=(a_call(0, (10 * i + 30, 10 * i + 50), 3),))) for i in range(20)]
    b = [outcome_of(an_attempt(f"c{i}", calls=(a_call(0, (10 * i + 25, 10 * i + 55), 3),))) for i in range(20)]
    ttft, tpot = compare_latency(a, b, "ttft"), compare_latency(a, b, "tpot")
    assert ttft is not None
    assert tpot is not None
    # The cases differ by far more than the runs: only pairing finds the 5 ms.
    assert (ttft.difference_s, ttft.low_s, ttft.high_s) == pytest.approx((0.005, 0.005, 0.005))
    assert ttft.p_value < 0.001
    assert tpot.difference_s == pytest.approx(-0.005)
    assert ttft.cases == 20
    assert compare_latency(a, [], "ttft") is None
    with pytest.raises(UserError, match="unknown metric 'ttf'"):
        compare_latency(a, b, "ttf")
