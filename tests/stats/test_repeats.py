"""pass@k and pass^k against counting every choice of k tries."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.core.errors import UserError
from agentbench.stats.intervals import normal_quantile, wilson
from agentbench.stats.repeats import pass_at_k, pass_at_k_estimate, pass_hat_k, pass_hat_k_estimate, repeated
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
