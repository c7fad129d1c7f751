"""pass@k and pass^k against counting every choice of k tries."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.errors import UserError
from agentbench.stats.repeats import mean_pass_at_k, mean_pass_hat_k, pass_at_k, pass_hat_k
from agentbench.stats.samples import CaseSample


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
    assert mean_pass_at_k(samples, 1) == mean_pass_hat_k(samples, 1) == 0.75
    assert mean_pass_at_k(samples, 2) == 1.0
    assert mean_pass_hat_k(samples, 2) == 0.5
    assert mean_pass_at_k([], 1) is None


@pytest.mark.parametrize("k", [0, 3])
def test_more_tries_than_repeats_are_refused(k: int) -> None:
    with pytest.raises(UserError, match=f"k = {k} is not from 1 to 2"):
        pass_at_k(2, 1, k)
