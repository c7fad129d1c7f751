"""Rungs: the order of the cases, the division of alpha, and the tests that drop a candidate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.core.case import Case
from tuners.search.rungs import plan_rungs, projected, worse_p


def cases(count: int, categories: int = 1) -> list[Case]:
    return [
        Case(id=f"c{index:03}", messages=(), metadata={"category": f"k{index % categories}"}) for index in range(count)
    ]


@given(st.integers(1, 200), st.lists(st.integers(1, 300), max_size=6), st.floats(0.01, 0.2))
def test_every_case_is_in_one_rung_and_the_rungs_spend_at_most_alpha(
    count: int, sizes: list[int], alpha: float
) -> None:
    plan = plan_rungs(cases(count), sizes, alpha, seed=1)
    answered = [case for rung in range(len(plan.sizes)) for case in plan.cases(rung)]
    assert sorted(answered) == [case.id for case in cases(count)]
    assert plan.so_far(len(plan.sizes) - 1) == tuple(answered)
    assert len(plan.alphas) == len(plan.sizes) - 1
    assert all(share > 0 for share in plan.alphas)
    assert sum(plan.alphas) <= alpha


def test_each_rung_has_every_category_in_its_share() -> None:
    plan = plan_rungs(cases(80, categories=4), [8, 16, 32], 0.1, seed=3)
    for rung, size in enumerate(plan.sizes):
        categories = [int(case[1:]) % 4 for case in plan.so_far(rung)]
        assert all(abs(categories.count(kind) - size / 4) <= 1 for kind in range(4))


def own_cluster(case: str) -> str:
    return case


def test_pass_or_fail_is_mcnemar_s_exact_test() -> None:
    best = {f"c{index}": 1.0 for index in range(8)}
    candidate = {case: float(index >= 5) for index, case in enumerate(best)}
    assert worse_p(candidate, best, own_cluster) == pytest.approx(0.5**5)
    assert worse_p(best, candidate, own_cluster) == 1.0
    assert worse_p(best, best, own_cluster) == 1.0
    assert worse_p({}, best, own_cluster) == 1.0


def test_the_cases_of_a_cluster_count_as_one_observation() -> None:
    best = {f"c{index}": 1.0 for index in range(6)}
    candidate = dict.fromkeys(best, 0.0)
    assert worse_p(candidate, best, lambda case: "one") == 0.5
    assert worse_p(candidate, best, own_cluster) == pytest.approx(0.5**6)


def test_graded_scores_are_compared_by_the_signed_rank_test() -> None:
    best = {f"c{index}": 0.5 for index in range(8)}
    candidate = {case: 0.5 - 0.01 * (index + 1) for index, case in enumerate(best)}
    assert worse_p(candidate, best, own_cluster) == pytest.approx(0.5**8)


def test_a_projection_cancels_out_the_difficulty_of_the_first_cases() -> None:
    best = {f"c{index}": float(index >= 4) for index in range(8)}  # wrong on the first four: they are hard
    assert projected({"c0": 1.0, "c1": 0.0, "c2": 0.0, "c3": 0.0}, best) == pytest.approx(0.75)
    assert projected({"c9": 0.25}, best) == 0.25
    assert projected({}, best) == 0.0


@pytest.mark.long
def test_a_candidate_that_is_as_good_is_dropped_at_most_at_rate_alpha() -> None:
    plan = plan_rungs(cases(200), [8, 16, 32, 64], 0.05, seed=0)
    chance = np.random.default_rng(5)
    dropped = 0
    for _ in range(400):
        rate = chance.uniform(0.2, 0.8)
        best, candidate = ({case: float(chance.random() < rate) for case in plan.order} for _ in range(2))
        dropped += any(
            worse_p({case: candidate[case] for case in plan.so_far(rung)}, best, own_cluster) <= alpha
            for rung, alpha in enumerate(plan.alphas)
        )
    assert dropped / 400 <= 0.05
