"""What the statistics claim of themselves, counted over runs drawn from a known truth; fixed seeds, so that it holds.

A reduced version of results/benchmarks/*-gate/simulate.py, whose figures are the ones to quote.
"""

from dataclasses import replace

import numpy as np
import pytest

from agentbench.stats import compare_passes, judge_gate, mean_estimate, summarize_serving
from agentbench.stats.estimates import pass_at_k_estimate
from agentbench.stats.samples import passes
from agentbench.suite.config import GateOptions
from tests.stats.simulated import a_population, a_world

PAIRS = 250
GATE = GateOptions(baseline="main")
NOTHING = summarize_serving([])


@pytest.mark.long
def test_gate_intervals_and_power_hold_over_the_mix() -> None:
    generator = np.random.default_rng(7)
    fails: list[float] = []
    covered: list[float] = []
    at_k: list[float] = []
    unchanged: list[float] = []
    stated: list[float] = []
    found: list[float] = []
    for _ in range(PAIRS):
        world = replace(a_world(generator), cases=int(generator.choice([20, 50, 100])))
        population = a_population(world, generator)
        run, baseline = population.run(generator, light=True), population.run(generator, light=True)
        verdict = judge_gate(GATE, run, NOTHING, baseline)
        same = verdict.comparison
        assert same is not None
        assert same.power is not None
        fails.append(not verdict.passed)
        unchanged.append(same.low is None or same.high is None or same.low <= 0 <= same.high)
        estimate, k = mean_estimate(passes(run)), pass_at_k_estimate(passes(run), world.repeats)
        for one, truth, into in ((estimate, world.rate, covered), (k, world.pass_at_k(world.repeats), at_k)):
            assert one is not None
            into.append(one.low is None or one.high is None or one.low <= truth <= one.high)
        drop = 0.3 * world.rate
        stated.append(same.power.of(drop, GATE.alpha))
        worse = compare_passes(population.run(generator, drop, light=True), baseline)
        assert worse.p_worse is not None
        found.append(worse.p_worse < GATE.alpha)
    assert np.mean(fails) <= GATE.alpha + 0.01
    assert 0.92 <= np.mean(covered) <= 0.98
    assert 0.92 <= np.mean(at_k) <= 0.98
    assert 0.92 <= np.mean(unchanged) <= 0.99
    assert abs(np.mean(stated) - np.mean(found)) <= 0.05
