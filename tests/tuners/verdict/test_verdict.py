"""Full studies with and without a planted best candidate, with failures of every kind."""

import pytest

from tests.tuners.planted import Tally, World, null_worlds, planted_worlds, run_studies, verdict_of


@pytest.mark.slow
async def test_no_broken_candidate_wins_and_the_verdict_s_interval_covers_the_truth() -> None:
    null, planted = await run_studies(null_worlds(60)), await run_studies(planted_worlds(40))
    assert null.broken == planted.broken == 0
    held, intervals = null.held + planted.held, null.intervals + planted.intervals
    assert intervals >= 70
    assert held >= 0.935 * intervals
    assert planted.found >= 32
    assert sum(null.ends.values()) == 60
    assert sum(planted.ends.values()) == 40


@pytest.mark.parametrize("seed", range(4))
async def test_the_worlds_have_broken_candidates_that_would_have_won(seed: int) -> None:
    """A candidate that fails wherever it is wrong looks perfect, if failed attempts are left out."""
    world = World(seed)
    broken = {"agent.a": 3, "agent.b": 0}
    side = world.test if world.harm == "fails on test where it is wrong" else world.train
    outcomes = [world._outcome(broken, case, 0) for case in side]
    graded = [outcome.passed for outcome in outcomes if outcome.passed is not None]
    if world.harm.startswith("fails"):
        assert all(graded)
        assert len(graded) < 0.75 * len(side)


async def test_a_tally_counts_studies_without_a_winner() -> None:
    tally = Tally()
    tally.count(World(0), None)
    tally.count(World(0), await verdict_of(World(0)))
    assert sum(tally.ends.values()) == 2
    assert tally.ends["no verdict"] >= 1
