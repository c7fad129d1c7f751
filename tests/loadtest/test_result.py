"""Ratios of two sides, paired over rounds."""

import math

import numpy as np
import pytest

from agentbench.loadtest.result import ratios


def rounds(*values: float | None) -> list[dict[str, float | None]]:
    return [{"ttft_p50_s": value} for value in values]


def test_the_ratio_is_the_geometric_mean_and_its_interval_students_t() -> None:
    found = ratios(rounds(2, 8), rounds(1, 2))["ttft_p50_s"]
    assert found["ratio"] == pytest.approx(math.sqrt(2 * 4))
    # half width: t(0.975, 1 df) = 12.706 times the standard error ln(4/2)/2
    half = 12.7062047 * math.log(2) / 2
    assert found["high"] == pytest.approx(found["ratio"] * math.exp(half), rel=1e-6)
    assert found["low"] == pytest.approx(found["ratio"] / math.exp(half), rel=1e-6)
    assert found["rounds"] == 2


def test_drift_that_both_sides_share_falls_out() -> None:
    found = ratios(rounds(1.1, 2.2, 4.4), rounds(1, 2, 4))["ttft_p50_s"]
    assert found["ratio"] == pytest.approx(1.1)
    assert found["high"] - found["low"] < 1e-9


def test_one_round_has_no_interval_and_an_undefined_figure_no_ratio() -> None:
    assert ratios(rounds(3), rounds(2))["ttft_p50_s"] == {
        "ratio": pytest.approx(1.5),
        "low": None,
        "high": None,
        "rounds": 1,
    }
    assert ratios(rounds(None), rounds(2)) == {}


def test_sides_backwards_give_the_inverse() -> None:
    a, b = rounds(1, 2, 3), rounds(2, 2, 2)
    there, back = ratios(a, b)["ttft_p50_s"], ratios(b, a)["ttft_p50_s"]
    assert there["ratio"] == pytest.approx(1 / back["ratio"])
    assert there["low"] == pytest.approx(1 / back["high"])


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        drift = generator.normal(0, 0.5, 4)
        a = np.exp(math.log(1.3) + drift + generator.normal(0, 0.1, 4))
        found = ratios(rounds(*a), rounds(*np.exp(drift + generator.normal(0, 0.1, 4))))["ttft_p50_s"]
        held += found["low"] <= 1.3 <= found["high"]
    assert 0.92 <= held / 400 <= 0.98
