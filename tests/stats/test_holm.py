"""Holm's adjustment: by hand, against statsmodels, and what holds of any p-values."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from agentbench.stats.holm import holm


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
