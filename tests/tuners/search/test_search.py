"""The search on a recorded table: its results, its cost, and its continuation after a kill."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product

import optuna
import pytest

from agentbench.core.case import Case
from tuners.engine.table_evaluator import ReplayEvaluator, ReplayTable
from tuners.search.budget import BudgetOptions, Spending
from tuners.search.candidate import BASELINE, Candidate
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers, Broken, Limit, Measured
from tuners.search.journal import MemoryJournal
from tuners.search.rungs import plan_rungs
from tuners.search.samplers import seeded
from tuners.search.search import Plan, Search
from tuners.search.trials import SamplerName, Trials
from tuners.space.configuration import Configuration
from tuners.space.parameters import Choices
from tuners.space.space import Settings, Space

CASES = 60
OUTER = Space(
    parameters={"agent.a": Choices(choices=(0, 1, 2, 3)), "agent.b": Choices(choices=(0, 1, 2, 3))},
    forbidden=({"agent.a": 0, "agent.b": 0},),
)
INNER = Space(parameters={"serving.knob": Choices(choices=(1, 2, 4))})


def table() -> ReplayTable:
    """The pass rate grows with a and b; the best is (3, 3). A higher knob divides latency and multiplies goodput."""
    chance = random.Random(3)
    outer: list[Settings] = [{}, *({"agent.a": a, "agent.b": b} for a, b in product(range(4), repeat=2))]
    inner: list[Settings] = [{}, *({"serving.knob": knob} for knob in (1, 2, 4))]
    hardness = [chance.random() for _ in range(CASES)]
    rates = [0.2 + 0.12 * (settings.get("agent.a", 0) + settings.get("agent.b", 0)) for settings in outer]
    scores = tuple(tuple(float(rate > hard) for hard in hardness) for rate in rates)
    figures = tuple(
        tuple(
            {"ttft_p95": 2.0 / knobs.get("serving.knob", 1), "goodput": rate * knobs.get("serving.knob", 1)}
            for knobs in inner
        )
        for rate in rates
    )
    return ReplayTable(
        space={},
        replayed=0,
        cases=tuple(f"c{index}" for index in range(CASES)),
        clusters=tuple(f"c{index}" for index in range(CASES)),
        outer=tuple(outer),
        inner=tuple(inner),
        scores=scores,
        figures=figures,
    )


TABLE = table()


class Counting(ReplayEvaluator):
    """Counts fresh answers and measurements, and breaks the settings in `breaks`."""

    def __init__(self, breaks: Settings | None = None) -> None:
        super().__init__(TABLE)
        self.fresh = 0
        self.measured: list[Settings] = []
        self._breaks = breaks

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        if self._breaks and self._breaks.items() <= configuration.settings.items():
            raise Broken("out of memory")
        answers = await super().answer(configuration, cases, allowance)
        self.fresh += answers.fresh
        return answers

    async def measure(
        self, configuration: Configuration, lossless: Settings, allowance: Allowance = UNBOUNDED
    ) -> Measured:
        self.measured.append(lossless)
        return await super().measure(configuration, lossless, allowance)


def plan(*limits: Limit, inner: Space = INNER) -> Plan:
    cases = [Case(id=case_id, messages=()) for case_id in TABLE.cases]
    return Plan(
        outer=OUTER,
        inner=inner,
        rungs=plan_rungs(cases, (8, 16, 32), 0.1, 0),
        clusters={case_id: case_id for case_id in TABLE.cases},
        limits=limits,
    )


class Setting:
    """The parts that outlive a killed search: journal, trials, answers."""

    def __init__(self, the_plan: Plan, evaluator: Counting, trials: int = 12, seed: int = 0) -> None:
        self.plan = the_plan
        self.evaluator = evaluator
        self.journal = MemoryJournal()
        self.storage = optuna.storages.InMemoryStorage()
        self.study = optuna.create_study(storage=self.storage, direction="maximize")
        self.options = BudgetOptions(trials=trials)
        self.seed = seed
        self.sampler: SamplerName = "tpe"
        self.clock: Callable[[], float] = lambda: 0.0

    def search(self) -> Search:
        trials = Trials(self.study, self.storage, self.plan.outer, seeded(self.sampler, self.seed))
        spending = Spending(self.options, case_runs=self.evaluator.fresh, clock=self.clock)
        return Search(self.plan, self.evaluator, trials, self.journal, spending)

    @property
    def best(self) -> Candidate | None:
        self.journal.abandon()
        search = self.search()
        search.candidates = list(self.journal.news())
        return search.best

    async def run(self) -> list[Candidate]:
        self.journal.abandon()
        search = self.search()
        return [candidate async for candidate in search.run()]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


async def test_the_search_finds_the_best_and_tunes_its_knobs_by_replay() -> None:
    setting = Setting(plan(), Counting(), trials=17)
    candidates = await setting.run()
    best = setting.best
    assert best is not None
    assert best.settings == {"agent.a": 3, "agent.b": 3, "serving.knob": 4}
    assert best.figures["ttft_p95"] == 0.5
    assert len(candidates) <= 17
    assert setting.evaluator.fresh < 0.8 * CASES * len(candidates)
    assert sum(candidate.case_runs for candidate in candidates) == setting.evaluator.fresh


async def test_the_baseline_is_the_first_candidate_and_no_trial() -> None:
    setting = Setting(plan(), Counting(), trials=6)
    candidates = await setting.run()
    assert [each.settings for each in candidates if each.number == BASELINE] == [{}]
    assert len(setting.study.get_trials()) >= 5
    assert {trial.state.name for trial in setting.study.get_trials()} <= {"COMPLETE", "FAIL"}


async def test_forbidden_and_repeated_suggestions_do_not_run_and_do_not_count() -> None:
    setting = Setting(plan(), Counting(), trials=40)
    candidates = await setting.run()
    tried = [
        tuple(sorted((path, value) for path, value in each.settings.items() if path in OUTER.parameters))
        for each in candidates
    ]
    assert len(set(tried)) == len(tried) == 16  # the baseline, and all combinations that are not forbidden
    assert (("agent.a", 0), ("agent.b", 0)) not in tried


async def test_a_broken_candidate_is_infeasible_and_the_search_continues() -> None:
    setting = Setting(plan(), Counting(breaks={"agent.a": 3}), trials=16)
    candidates = await setting.run()
    broken = [each for each in candidates if each.end == "broken"]
    assert broken
    assert all(each.settings["agent.a"] == 3 and each.reason == "out of memory" for each in broken)
    best = setting.best
    assert best is not None
    assert best.settings["agent.a"] != 3
    trials = {trial.number + 1: trial for trial in setting.study.get_trials()}
    assert all(max(trials[each.number].constraints.values()) > 0 for each in broken)


async def test_a_limit_that_needs_other_knobs_is_met() -> None:
    setting = Setting(plan(Limit(metric="ttft_p95", bound=1.0)), Counting(), trials=10)
    await setting.run()
    best = setting.best
    assert best is not None
    assert best.settings["serving.knob"] == 4


async def test_without_knobs_no_candidate_meets_a_limit_out_of_reach() -> None:
    none = Space(parameters={})
    setting = Setting(plan(Limit(metric="ttft_p95", bound=0.1), inner=none), Counting(), trials=6)
    candidates = await setting.run()
    assert setting.best is None
    assert all(each.excess["ttft_p95"] > 0 for each in candidates)


async def test_the_search_ends_at_exactly_the_budget_s_case_runs() -> None:
    setting = Setting(plan(), Counting())
    setting.options = BudgetOptions(case_runs=100)
    candidates = await setting.run()
    assert setting.evaluator.fresh == 100
    assert candidates


class Timed(Counting):
    """An attempt takes one second, a server start ten, on a fake clock; attempts beyond the allowance do not run."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        assert allowance.seconds is not None
        took = min(10.0, allowance.seconds)
        answers = await super().answer(configuration, cases, Allowance(case_runs=int(allowance.seconds - took)))
        self.now += took + answers.fresh
        return answers


@pytest.mark.parametrize("seconds", [5, 30, 60, 61, 100, 200])
async def test_the_search_ends_at_the_budget_s_seconds_even_in_the_opening(seconds: int) -> None:
    evaluator = Timed()
    setting = Setting(plan(inner=Space(parameters={})), evaluator)
    setting.options = BudgetOptions(seconds=seconds)
    setting.clock = lambda: evaluator.now
    candidates = await setting.run()
    assert evaluator.now == seconds
    assert candidates[-1].end == "out of budget"


class Bounded(Counting):
    """Returns a bound for its figures after each rung."""

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        answers = await super().answer(configuration, cases, allowance)
        return replace(answers, at_best={"ttft_p95": 1.5 if configuration.settings.get("agent.a", 1) else 0.5})


async def test_a_candidate_that_can_no_longer_meet_a_constraint_is_dropped() -> None:
    limits = (Limit(metric="ttft_p95", bound=1.0), Limit(metric="quality", bound=0.9, at_least=True))
    setting = Setting(plan(*limits, inner=Space(parameters={})), Bounded(), trials=12)
    candidates = {each.number: each for each in await setting.run()}
    assert candidates[BASELINE].end == "finished"  # others are compared with it
    for each in candidates.values():
        if each.number != BASELINE and each.settings["agent.a"]:
            assert (each.end, each.rung) == ("dropped", 0)
            assert each.reason == "ttft_p95 can't meet 1: it is 1.5 at best"
    poor = [each for each in candidates.values() if each.settings.get("agent.a") == 0 and each.quality < 0.45]
    assert poor
    assert all(each.end == "dropped" and each.rung < 3 for each in poor)
    with_knobs = Setting(plan(limits[0]), Bounded(), trials=6)
    assert not [each for each in await with_knobs.run() if "can't meet" in each.reason]  # knobs may help


async def test_the_sampler_waits_for_candidates_that_the_budget_ended() -> None:
    setting = Setting(plan(), Counting())
    setting.options = BudgetOptions(case_runs=100)
    await setting.run()
    states = [trial.state.name for trial in setting.study.get_trials()]
    assert "RUNNING" in states


class Killed(Exception):
    """Stands for the death of the process."""


class TwoServers(Counting):
    """The server depends on `agent.a` and on its knobs."""

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        found = super().configuration(settings, seed)
        return replace(found, served=f"{settings.get('agent.a', 0) % 2} {found.served}")


class Dying(TwoServers):
    """Dies before the answer of this number."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        self._left -= 1
        if self._left == 0:
            raise Killed
        return await super().answer(configuration, cases, allowance)

    def revive(self, after: int) -> None:
        self._left = after


@pytest.mark.long
@pytest.mark.parametrize(("seed", "together"), [(0, 1), (1, 1), *((seed, 4) for seed in range(8))])
async def test_a_search_killed_ten_times_has_the_same_results_and_cost(seed: int, together: int) -> None:
    the_plan = replace(plan(), together=together)
    uninterrupted = Setting(the_plan, TwoServers(), seed=seed)
    expected = await uninterrupted.run()
    evaluator = Dying(3)
    killed = Setting(the_plan, evaluator, seed=seed)
    for number in range(10):
        with suppress(Killed):
            await killed.run()
        evaluator.revive(2 + number % 4)
    evaluator.revive(10**6)
    await killed.run()

    def found(candidates: Sequence[Candidate]) -> list[Candidate]:
        return sorted(candidates, key=lambda each: each.number)

    killed.journal.abandon()
    assert found(killed.journal.news()) == found(expected)
    assert evaluator.fresh == uninterrupted.evaluator.fresh


@pytest.mark.parametrize("seed", range(4))
def test_suggestions_for_the_last_candidate_s_server_come_first_whatever_its_knobs(seed: int) -> None:
    search = Setting(replace(plan(), together=4), TwoServers(), seed=seed).search()
    assert search._journal.claim(0, {})
    assert search._journal.claim(5, {"agent.a": 1, "agent.b": 0, "serving.knob": 4})
    search._learn()
    servers = [search._suggestion()[1].settings["agent.a"] % 2 for _ in range(4)]
    assert servers == sorted(servers, reverse=True)


@pytest.mark.parametrize("name", ["tpe", "nsga2", "gp", "random"])
async def test_every_sampler_searches_reproducibly(name: SamplerName) -> None:
    setting = Setting(plan(Limit(metric="ttft_p95", bound=1.0)), Counting(), trials=14)
    setting.sampler = name
    await setting.run()
    best = setting.best
    assert best is not None
    assert best.quality > 0.5
    again = Setting(plan(Limit(metric="ttft_p95", bound=1.0)), Counting(), trials=14)
    again.sampler = name
    await again.run()
    assert again.best == best
