"""The effects of parameters on quality: planted ones after an adaptive search, and those that can't be estimated."""

import random
from itertools import product

import optuna
import pytest

from agentbench.core.case import Case
from tuners.engine.table_evaluator import ReplayEvaluator, ReplayTable
from tuners.report.effects import Effect, effects_of
from tuners.search.budget import BudgetOptions, Spending
from tuners.search.candidate import Candidate
from tuners.search.journal import MemoryJournal
from tuners.search.rungs import plan_rungs
from tuners.search.samplers import seeded
from tuners.search.search import Plan, Search
from tuners.search.trials import Trials
from tuners.space.parameters import Choices
from tuners.space.space import Settings, Space

CASES = tuple(f"c{number}" for number in range(80))
PATHS = ("agent.a", "agent.b", "agent.c")
PLANTED = {"agent.a": 0.3, "agent.b": 0.1, "agent.c": 0.0}
"""Quality under value 2 minus quality under value 0; value 1 is half-way."""


def planted(seed: int) -> ReplayTable:
    chance = random.Random(seed)
    outer: list[Settings] = [{}, *(dict(zip(PATHS, values, strict=True)) for values in product((0, 1, 2), repeat=3))]
    rates = [0.3 + sum(PLANTED[path] * value / 2 for path, value in settings.items()) for settings in outer]
    return ReplayTable(
        space={},
        replayed=0,
        cases=CASES,
        clusters=CASES,
        outer=tuple(outer),
        inner=({},),
        scores=tuple(tuple(float(chance.random() < rate) for _ in CASES) for rate in rates),
        figures=tuple(({},) for _ in outer),
    )


async def search_planted(seed: int) -> list[Candidate]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = Space(parameters={path: Choices(choices=(0, 1, 2)) for path in PATHS})
    cases = [Case(id=case_id, messages=()) for case_id in CASES]
    plan = Plan(
        outer=space,
        rungs=plan_rungs(cases, (8, 16, 32), 0.05, 0),
        clusters={case_id: case_id for case_id in CASES},
        seed=seed,
    )
    trials = Trials.in_memory(space, seeded("tpe", seed))
    spending = Spending(BudgetOptions(trials=24), clock=lambda: 0.0)
    search = Search(plan, ReplayEvaluator(planted(seed)), trials, MemoryJournal(), spending)
    return [candidate async for candidate in search.run()]


@pytest.mark.long
async def test_planted_effects_are_within_their_errors_after_an_adaptive_search() -> None:
    covered = largest = 0
    for seed in range(6):
        effects = effects_of(await search_planted(seed), PATHS)
        assert effects.keys() == set(PATHS)
        # The fitted difference is the planted one, or less when the fit ranks other values first or last.
        covered += sum(abs(effects[path].difference - PLANTED[path]) <= effects[path].margin for path in PATHS)
        largest += next(iter(effects)) == "agent.a"
    assert covered >= 15  # of 18
    assert largest >= 5  # of 6


def candidate(number: int, quality: float, **settings: object) -> Candidate:
    return Candidate(
        number=number,
        settings={f"agent.{name}": value for name, value in settings.items()},
        end="finished",
        rung=0,
        quality=quality,
        scores=dict.fromkeys(CASES, quality),
    )


def test_an_effect_without_noise_is_exact() -> None:
    found = [candidate(1 + n, 0.2 + 0.5 * (n % 2) + 0.1 * (n // 2 % 2), a=n % 2, b=n // 2 % 2) for n in range(12)]
    effects = effects_of([candidate(0, 0.9), *found], ("agent.a", "agent.b"))
    assert effects["agent.a"].difference == pytest.approx(0.5)
    assert effects["agent.b"].difference == pytest.approx(0.1)
    assert effects["agent.a"].margin == pytest.approx(0.0, abs=1e-6)
    assert (effects["agent.a"].best, effects["agent.a"].worst, effects["agent.a"].candidates) == ("1", "0", 12)


def test_numbers_are_fitted_as_a_line() -> None:
    found = [candidate(1 + n, 0.1 + 0.05 * n, a=float(n)) for n in range(10)]
    [effect] = effects_of(found, ("agent.a",)).values()
    assert effect == Effect(best="9", worst="0", difference=effect.difference, margin=effect.margin, candidates=10)
    assert effect.difference == pytest.approx(0.45)


def test_effects_that_are_not_separable_or_have_too_few_candidates_are_left_out() -> None:
    together = [candidate(1 + n, 0.5 + 0.3 * (n % 2), a=n % 2, b=n % 2, c=n % 3) for n in range(12)]
    assert list(effects_of(together, PATHS)) == ["agent.c"]
    assert effects_of(together[:4], PATHS) == {}
    assert effects_of([candidate(1 + n, 0.5, a=1) for n in range(12)], PATHS) == {}


def test_a_conditional_parameter_is_compared_among_candidates_that_decided_it() -> None:
    found = [
        candidate(1 + n, 0.3 + 0.2 * (n % 2) + 0.1 * (n % 4 == 3), a=n % 2, **({"b": n // 2 % 2} if n % 2 else {}))
        for n in range(16)
    ]
    effects = effects_of(found, ("agent.a", "agent.b"))
    assert effects["agent.b"].difference == pytest.approx(0.1)
    assert effects["agent.b"].candidates == 8
