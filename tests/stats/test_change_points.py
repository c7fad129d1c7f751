"""Change points: found where they are, and seldom where there are none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbench.stats.change_points import LEAST, _best, change_points


def test_a_step_is_found_where_it_is() -> None:
    random = np.random.default_rng(1)
    series = [*random.normal(0.40, 0.01, 12), *random.normal(0.46, 0.01, 10), *random.normal(0.42, 0.01, 9)]
    found = change_points(series)
    assert [each.at for each in found] == [12, 22]
    assert found[0].before == pytest.approx(np.mean(series[:12]))
    assert found[0].after == found[1].before == pytest.approx(np.mean(series[12:22]))
    assert all(each.p_value <= 0.05 for each in found)


def test_a_step_is_found_in_eight_values_and_in_no_fewer() -> None:
    step = [0.1, 0.11, 0.12, 0.13, 0.9, 0.91, 0.92, 0.93]
    assert [each.at for each in change_points(step)] == [4]
    assert not any(change_points(step[1:], seed=seed) for seed in range(20))


@pytest.mark.long
def test_without_a_change_it_is_seldom_said() -> None:
    random = np.random.default_rng(2)
    said = sum(bool(change_points(list(random.normal(size=16)), seed=number)) for number in range(120))
    assert said <= 13  # 6 are expected; more than 13 have probability 0.005


def test_a_short_or_constant_series_has_none() -> None:
    assert change_points([]) == ()
    assert change_points([0.1, 0.9, 0.1, 0.9, 0.9]) == ()
    assert change_points([0.5] * 30) == ()


def apart(part: list[float]) -> list[float]:
    return [abs(a - b) for i, a in enumerate(part) for b in part[:i]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2 * LEAST, max_size=14))
def test_the_statistic_is_what_its_definition_says(values: list[float]) -> None:
    series = np.array(values)
    n = len(series)
    expected = []
    for k in range(LEAST, n - LEAST + 1):
        left, right = values[:k], values[k:]
        across = np.mean([abs(a - b) for a in left for b in right])
        expected.append((2 * across - np.mean(apart(left)) - np.mean(apart(right))) * k * (n - k) / n)
    assert _best(np.abs(series[:, None] - series[None, :]))[1] == pytest.approx(max(expected), rel=1e-6, abs=1e-6)
