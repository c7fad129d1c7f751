"""Full studies, searches and verdicts, in worlds with a planted truth and failures of every kind. The evaluator draws
random answers in place of an engine.

`python -m tests.tuners.planted 500` runs 500 studies of each kind and prints how often the interval covered the truth.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna

from agentbench.core.case import Case
from agentbench.core.errors import FailureKind, UserError
from agentbench.core.study import Purpose
from agentbench.stats import Outcome
from agentbench.stats.outcomes import AGENT_FAILURES, agent_failures_as_wrong
from tuners.engine.answer_cache import mean_scores
from tuners.search.budget import Spending
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers, Broken, Figures, Measured
from tuners.search.journal import MemoryJournal
from tuners.search.rungs import plan_rungs
from tuners.search.samplers import seeded
from tuners.search.search import Plan, Search
from tuners.search.trials import Trials
from tuners.space.configuration import Configuration
from tuners.space.parameters import Choices
from tuners.space.space import Settings, Space
from tuners.study.file import Split, StudyFile
from tuners.study.study import Study
from tuners.verdict.verdict import Verdict, judge

PATHS = ("agent.a", "agent.b")
SPACE = Space(parameters={"agent.a": Choices(choices=(0, 1, 2, 3)), "agent.b": Choices(choices=(0, 1))})
BASELINE = {"agent.a": 0, "agent.b": 0}
BEST = {"agent.a": 2, "agent.b": 1}
BROKEN = 3
"""The value of `agent.a` whose server, tools or scorers are broken."""

Harm = Literal["fails where it is wrong", "fails on test where it is wrong", "dies", "does not start"]
HARMS: tuple[Harm, ...] = ("fails where it is wrong", "fails on test where it is wrong", "dies", "does not start")
NOT_THE_AGENTS: tuple[FailureKind, ...] = ("infra", "tool", "grader")
SIDE = 80
"""The number of train cases, and of test cases."""


@dataclass
class World:
    """Draws reproducible answers. `BEST` is right more often than the baseline by `gain`.

    Under any candidate, 2 % of the attempts fail without the agent's fault, and 1 % by the agent's fault.
    """

    seed: int
    gain: float = 0.0
    drawn: dict[tuple[str, int, str], Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.harm = HARMS[self.seed % len(HARMS)]
        self.kind = chance.choice(NOT_THE_AGENTS)
        self.train = [f"train{number}" for number in range(SIDE)]
        self.test = [f"test{number}" for number in range(SIDE)]
        self.rates = {case: chance.uniform(0.2, 0.7) for case in (*self.train, *self.test)}

    def truth(self, settings: Settings) -> float:
        """The true difference in the rate of right answers to the baseline, for a candidate that is not broken:
        an attempt that fails by the agent's fault counts as wrong."""
        return (self.gain if self._is(settings, BEST) else 0.0) * (1 - 0.01)

    def _is(self, settings: Settings, complete: Settings) -> bool:
        return {**BASELINE, **settings} == complete

    def _outcome(self, settings: Settings, case: str, seed: int) -> Outcome:
        full = {**BASELINE, **settings}
        chance = random.Random(f"{self.seed} {sorted(full.items())} {case} {seed}")
        right = chance.random() < self.rates[case] + (self.gain if full == BEST else 0.0)
        failure: FailureKind | None = chance.choice(NOT_THE_AGENTS) if chance.random() < 0.02 else None
        if failure is None and chance.random() < 0.01:
            failure = "timeout"
        if full["agent.a"] == BROKEN and not right and self._harms(case):
            failure = self.kind
        return Outcome(case_id=case, cluster=case, passed=None if failure else right, failure=failure)

    def _harms(self, case: str) -> bool:
        return self.harm == "fails where it is wrong" or (
            self.harm == "fails on test where it is wrong" and case.startswith("test")
        )

    async def answer(
        self,
        configuration: Configuration,
        cases: Sequence[str],
        allowance: Allowance = UNBOUNDED,
        purpose: Purpose = "search",
    ) -> Answers:
        settings, seed = configuration.settings, configuration.seed
        if {**BASELINE, **settings}["agent.a"] == BROKEN and self.harm == "does not start":
            raise Broken("out of memory")
        key = configuration.answers
        fresh = [case for case in cases if (key, seed, case) not in self.drawn]
        self.drawn |= {(key, seed, case): self._outcome(settings, case, seed) for case in fresh}
        if {**BASELINE, **settings}["agent.a"] == BROKEN and self.harm == "dies":
            raise Broken("the server died while it answered", len(fresh))
        found = agent_failures_as_wrong(self.drawn[key, seed, case] for case in cases)
        failed = sum(each.failure is not None for each in found)
        return Answers(
            scores=mean_scores(found), fresh=len(fresh), attempts=len(found), failed=failed, failure=self.kind
        )

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        answers = str(sorted({**BASELINE, **settings}.items()))
        return Configuration(settings=settings, seed=seed or 0, answers=answers, served="")

    async def measure(
        self, configuration: Configuration, lossless: Settings, allowance: Allowance = UNBOUNDED
    ) -> Measured:
        return Measured(figures={}, replayed=0)

    def attempts_run(self, configuration: Configuration, cases: Sequence[str]) -> int:
        return sum((configuration.answers, configuration.seed, case) in self.drawn for case in cases)

    def spent(self) -> int:
        return len(self.drawn)

    @property
    def runs(self) -> "World":
        """The world stores its own runs."""
        return self

    def on_test(self, configuration: Configuration) -> str:
        return configuration.answers

    def outcomes(self, run_id: str) -> list[Outcome]:
        return [self.drawn[run_id, 0, case] for case in self.test]

    def failure(self, run_id: str) -> str:
        failures = [each.failure for each in self.outcomes(run_id) if each.failure not in (None, *AGENT_FAILURES)]
        return str(failures[0]) if failures else "none"

    def goodput(self, outcomes: Sequence[Outcome]) -> float | None:
        return None

    async def in_turn(
        self, a: tuple[Configuration, str], b: tuple[Configuration, str], rounds: int
    ) -> list[tuple[Figures, Figures]]:
        raise AssertionError("all candidates have one server")


async def verdict_of(world: World) -> Verdict | None:
    """The verdict of a full study in this world; None when every finalist broke."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cases = [Case(id=case, messages=()) for case in world.train]
    file = StudyFile.model_validate(
        {"name": "planted", "objectives": ["quality"], "budget": {"trials": 8}, "space": {"agent.a": [0]}, "seed": 0}
    )
    plan = Plan(
        outer=SPACE,
        rungs=plan_rungs(cases, (8, 16, 32), 0.05, world.seed),
        clusters={case.id: case.id for case in cases},
        max_failures=file.max_failures,
        seed=file.seed,
    )
    trials = Trials.in_memory(SPACE, seeded("random", world.seed))
    search = Search(plan, world, trials, MemoryJournal(), Spending(file.budget, clock=lambda: 0.0))
    candidates = [candidate async for candidate in search.run()]
    nothing: Any = None
    study = Study(file=file, document={}, suite=nothing, split=Split(train=tuple(world.train), test=tuple(world.test)))
    try:
        return await judge(study, plan, world, candidates, 0.0)
    except UserError:
        return None


@dataclass
class Tally:
    """Counts of the results of studies."""

    ends: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    intervals: int = 0
    held: int = 0
    found: int = 0

    def count(self, world: World, verdict: Verdict | None) -> None:
        if verdict is None or verdict.winner is None:
            self.ends["no verdict"] += 1
            return
        self.ends["baseline" if verdict.winner == 0 else "winner"] += 1
        self.broken += verdict.settings.get("agent.a") == BROKEN
        self.found += verdict.settings == BEST
        if verdict.passes:
            self.intervals += 1
            self.held += verdict.passes["low"] <= world.truth(verdict.settings) <= verdict.passes["high"]


async def run_studies(worlds: Sequence[World]) -> Tally:
    tally = Tally()
    for world in worlds:
        tally.count(world, await verdict_of(world))
    return tally


def null_worlds(count: int) -> list[World]:
    return [World(seed) for seed in range(count)]


def planted_worlds(count: int) -> list[World]:
    return [World(10_000 + seed, gain=0.25) for seed in range(count)]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for name, worlds in (("null", null_worlds(count)), ("planted", planted_worlds(count))):
        tally = asyncio.run(run_studies(worlds))
        held = f"{tally.held} of {tally.intervals} intervals held ({tally.held / max(1, tally.intervals):.1%})"
        print(f"{name}: {dict(tally.ends)}, best found {tally.found}, broken won {tally.broken}, {held}")


if __name__ == "__main__":
    main()
