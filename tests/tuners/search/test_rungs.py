"""Rungs: who answers what when, what may be spent on dropping, and when a candidate is shown to be worse."""

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
def test_every_case_is_answered_once_and_no_more_than_alpha_is_spent(
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


def by_itself(case: str) -> str:
    return case


def test_pass_or_fail_is_mcnemar_s_exact_test() -> None:
    best = {f"c{index}": 1.0 for index in range(8)}
    candidate = {case: float(index >= 5) for index, case in enumerate(best)}
    assert worse_p(candidate, best, by_itself) == pytest.approx(0.5**5)
    assert worse_p(best, candidate, by_itself) == 1.0
    assert worse_p(best, best, by_itself) == 1.0
    assert worse_p({}, best, by_itself) == 1.0


def test_cases_of_one_cluster_are_one_piece_of_evidence() -> None:
    best = {f"c{index}": 1.0 for index in range(6)}
    candidate = dict.fromkeys(best, 0.0)
    assert worse_p(candidate, best, lambda case: "one") == 0.5
    assert worse_p(candidate, best, by_itself) == pytest.approx(0.5**6)


def test_graded_scores_are_ranked() -> None:
    best = {f"c{index}": 0.5 for index in range(8)}
    candidate = {case: 0.5 - 0.01 * (index + 1) for index, case in enumerate(best)}
    assert worse_p(candidate, best, by_itself) == pytest.approx(0.5**8)


def test_how_hard_the_first_cases_were_cancels_out() -> None:
    best = {f"c{index}": float(index >= 4) for index in range(8)}  # wrong on the first four: they are hard
    assert projected({"c0": 1.0, "c1": 0.0, "c2": 0.0, "c3": 0.0}, best) == pytest.approx(0.75)
    assert projected({"c9": 0.25}, best) == 0.25
    assert projected({}, best) == 0.0


def test_one_that_is_as_good_is_seldom_dropped() -> None:
    plan = plan_rungs(cases(200), [8, 16, 32, 64], 0.05, seed=0)
    chance = np.random.default_rng(5)
    dropped = 0
    for _ in range(400):
        rate = chance.uniform(0.2, 0.8)
        best, candidate = ({case: float(chance.random() < rate) for case in plan.order} for _ in range(2))
        dropped += any(
            worse_p({case: candidate[case] for case in plan.so_far(rung)}, best, by_itself) <= alpha
            for rung, alpha in enumerate(plan.alphas)
        )
    assert dropped / 400 <= 0.05
