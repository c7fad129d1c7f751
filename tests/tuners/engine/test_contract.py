"""Each evaluator fulfils the contract, and a broken one fails it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from itertools import product
from pathlib import Path

import pytest

from agentbench.store import Store
from tests.tuners.engine.test_evaluator import live_evaluator
from tuners.engine.evaluator import LiveEvaluator
from tuners.engine.table_evaluator import ReplayEvaluator, ReplayTable
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers, Evaluator, Measured
from tuners.space.configuration import Configuration
from tuners.space.space import Settings
from tuners.testing import EvaluatorContract

CASES = tuple(f"c{number}" for number in range(12))
OUTER: tuple[Settings, ...] = ({}, {"agent.a": 1})
INNER: tuple[Settings, ...] = ({}, {"serving.knob": 2})


def table() -> ReplayTable:
    return ReplayTable(
        space={},
        replayed=3,
        cases=CASES,
        clusters=CASES,
        outer=OUTER,
        inner=INNER,
        scores=tuple(tuple(float(number % (2 + row)) == 0 for number in range(12)) for row in range(2)),
        figures=tuple(tuple({"goodput": 1.0 + row + knob} for knob in range(2)) for row, _ in product(range(2), "a")),
    )


class TestLiveEvaluator(EvaluatorContract):
    @pytest.fixture
    async def evaluator(self, live: tuple[LiveEvaluator, Sequence[str]]) -> AsyncIterator[Evaluator]:
        async with aclosing(live[0]):
            yield live[0]

    @pytest.fixture
    def cases(self, live: tuple[LiveEvaluator, Sequence[str]]) -> Sequence[str]:
        return live[1]

    @pytest.fixture
    def live(self, study: Callable[..., Path], store: Store) -> tuple[LiveEvaluator, Sequence[str]]:
        return live_evaluator(study(), store)

    @pytest.fixture
    def settings(self) -> Settings:
        return {"serving.word": "even"}

    @pytest.fixture
    def lossless(self) -> Settings:
        return {"serving.knob": 2}


class TableEvaluatorContract(EvaluatorContract):
    @pytest.fixture
    def cases(self) -> Sequence[str]:
        return CASES

    @pytest.fixture
    def settings(self) -> Settings:
        return {"agent.a": 1}

    @pytest.fixture
    def lossless(self) -> Settings:
        return {"serving.knob": 2}


class TestReplayEvaluator(TableEvaluatorContract):
    @pytest.fixture
    def evaluator(self) -> Evaluator:
        return ReplayEvaluator(table())


class Wasteful(ReplayEvaluator):
    """Runs everything again at each call, and ignores the allowance."""

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        self._answered.clear()
        return await super().answer(configuration, cases)

    async def measure(
        self, configuration: Configuration, lossless: Settings, allowance: Allowance = UNBOUNDED
    ) -> Measured:
        self._measured.clear()
        return await super().measure(configuration, lossless)


class Forgetful(ReplayEvaluator):
    """Ignores the seed."""

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        return super().configuration(settings)


@pytest.mark.parametrize(
    ("kind", "broken", "knobs"),
    [
        (Wasteful, "an_answer_is_computed_once", []),
        (Wasteful, "a_lossless_knob_shares_the_answers", [INNER[1]]),
        (Wasteful, "no_attempt_exceeds_the_allowance", []),
        (Forgetful, "another_seed_needs_new_answers", []),
    ],
)
async def test_an_evaluator_that_breaks_the_contract_fails_it(
    kind: type[ReplayEvaluator], broken: str, knobs: list[Settings]
) -> None:
    with pytest.raises(AssertionError):
        await getattr(EvaluatorContract(), f"test_{broken}")(kind(table()), CASES, OUTER[1], *knobs)


async def test_an_evaluator_that_measures_beyond_its_allowance_fails_the_contract() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await EvaluatorContract().test_a_knob_is_measured_once(Wasteful(table()), CASES, OUTER[1], INNER[1])


def test_an_evaluator_that_forgets_the_seed_fails_the_contract() -> None:
    with pytest.raises(AssertionError):
        EvaluatorContract().test_equal_settings_share_their_answers(Forgetful(table()), OUTER[1], INNER[1])
