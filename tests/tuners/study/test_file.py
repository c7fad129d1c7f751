"""Splits: clusters stay together, no case is on both sides, and the sizes are those of the options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.core.case import Case
from agentbench.core.errors import UserError
from tuners.study.file import SplitOptions, split_cases


def cases(*clusters: int) -> list[Case]:
    return [
        Case(id=f"{name}-{index}", messages=(), cluster=str(name))
        for name, size in enumerate(clusters)
        for index in range(size)
    ]


@given(st.lists(st.integers(1, 5), min_size=8, max_size=40), st.floats(0.2, 0.8), st.integers(0, 99))
def test_a_cluster_is_on_one_side_only(sizes: list[int], share: float, seed: int) -> None:
    all_cases = cases(*sizes)
    split = split_cases(all_cases, SplitOptions(test=share, seed=seed))
    assert sorted((*split.train, *split.test)) == sorted(case.id for case in all_cases)
    sides = [{case_id.partition("-")[0] for case_id in side} for side in (split.train, split.test)]
    assert not sides[0] & sides[1]
    wanted = int(share * len(all_cases))
    assert wanted - max(sizes) < len(split.test) <= wanted


def test_counts_and_shares() -> None:
    split = split_cases(cases(*[1] * 400), SplitOptions(test=200, train=0.25))
    assert (len(split.test), len(split.train)) == (200, 100)


def test_the_seed_decides() -> None:
    drawn = [split_cases(cases(*[1] * 50), SplitOptions(seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(("options", "side"), [({"test": 3}, "train"), ({"test": 0.1}, "test")])
def test_an_empty_side_is_refused(options: dict[str, float], side: str) -> None:
    with pytest.raises(UserError, match=f"split: no {side} cases, from 3 in 3 clusters"):
        split_cases(cases(1, 1, 1), SplitOptions.model_validate(options))
