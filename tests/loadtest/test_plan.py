"""When an open loop sends."""

from itertools import islice, pairwise
from statistics import mean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.loadtest.plan import ARRIVALS, Arrivals, offsets


def gaps(kind: Arrivals, rate: float, burstiness: float = 1.0, seed: str = "7") -> list[float]:
    found = [0.0, *islice(offsets(kind, rate, seed, burstiness), 20_000)]
    return [later - earlier for earlier, later in pairwise(found)]


@pytest.mark.parametrize(
    ("kind", "burstiness", "variation"),
    [("poisson", 1.0, 1.0), ("gamma", 1.0, 1.0), ("gamma", 0.25, 2.0), ("gamma", 4.0, 0.5), ("constant", 1.0, 0.0)],
)
def test_gaps_have_the_mean_and_the_variation_asked_for(kind: Arrivals, burstiness: float, variation: float) -> None:
    found = gaps(kind, 8.0, burstiness)
    assert mean(found) == pytest.approx(1 / 8, rel=0.05)
    assert pstdev(found) / mean(found) == pytest.approx(variation, rel=0.05, abs=0.02)


def test_gamma_of_shape_one_is_poisson() -> None:
    assert gaps("gamma", 3.0, 1.0) == gaps("poisson", 3.0)


def test_constant_arrivals_begin_at_once() -> None:
    assert list(islice(offsets("constant", 4, "1"), 3)) == [0.0, 0.25, 0.5]


@given(st.sampled_from(ARRIVALS), st.floats(0.1, 100), st.integers())
def test_a_seed_repeats_and_time_only_goes_on(kind: Arrivals, rate: float, seed: int) -> None:
    first = list(islice(offsets(kind, rate, str(seed)), 50))
    assert first == list(islice(offsets(kind, rate, str(seed)), 50))
    assert first == sorted(first)
    if kind != "constant":
        assert first != list(islice(offsets(kind, rate, f"{seed} other"), 50))
