"""The evaluator on a server: what is answered once, what a knob leaves alone, what a crash leaves behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentbench.store import Store
from tests.tuners.stub_server import StubServer
from tuners.evaluator import Broken
from tuners.live import LiveEvaluator, opened
from tuners.study import make_study, store_study

StudyWriter = Callable[..., Path]


def evaluator(path: Path, store: Store, **other: Any) -> tuple[LiveEvaluator, tuple[str, ...]]:
    """Of a study made from the file, and its train cases."""
    made = make_study(path, {})
    store_study(made, store)
    live = LiveEvaluator(made.suite, made.split, {}, store, made.name, seed=0, prices={}, traces=8, **other)
    return live, made.split.train


async def test_an_answer_is_computed_once(study: StudyWriter, store: Store) -> None:
    live, cases = evaluator(study(), store)
    async with opened(live):
        first = await live.answer({"serving.word": "even"}, cases[:6], 0)
        second = await live.answer({"serving.word": "even"}, cases[:8], 0)
    assert first.fresh == 6
    assert second.fresh == 2
    assert second.scores == dict.fromkeys(cases[:8], 1.0)
    assert {"ttft_p50", "goodput", "tokens"} <= second.figures.keys()
    assert live.cached == 6
    assert live.spent() == 8


async def test_a_lossless_knob_shares_the_answers_and_the_defaults_are_no_change(
    study: StudyWriter, store: Store
) -> None:
    live, cases = evaluator(study(), store)
    async with opened(live):
        await live.answer({"serving.word": "even", "serving.knob": 2}, cases[:6], 0)
        other = await live.answer({"serving.word": "even", "serving.knob": 1}, cases[:6], 0)
        same = await live.answer({"serving.word": "even"}, cases[:6], 0)
    assert other.fresh == same.fresh == 0
    assert len(other.scores) == 6
    assert not other.figures  # times are of the server that answered


async def test_other_seeds_are_other_answers(study: StudyWriter, store: Store) -> None:
    live, cases = evaluator(study(), store)
    async with opened(live):
        for seed in (0, 1):
            assert (await live.answer({}, cases[:4], seed)).fresh == 4


async def test_a_server_starts_once_for_each_configuration(
    study: StudyWriter, store: Store, stub: type[StubServer]
) -> None:
    live, cases = evaluator(study(), store)
    async with opened(live):
        await live.answer({"serving.word": "even"}, cases[:4], 0)
        await live.answer({"serving.word": "even", "agent.max_tokens": 8}, cases[:4], 0)
        assert stub.started == 1
        await live.answer({"serving.word": "odd"}, cases[:4], 0)
    assert stub.started == 2


async def test_a_server_that_dies_breaks_the_candidate_and_the_next_one_gets_another(
    study: StudyWriter, store: Store
) -> None:
    live, cases = evaluator(study(), store)
    async with opened(live):
        with pytest.raises(Broken, match="died") as broken:
            await live.answer({"serving.dies_on": "even"}, cases, 0)
        assert broken.value.fresh > 0
        assert live.spent() == broken.value.fresh
        again = await live.answer({}, cases[:4], 0)
    assert again.fresh == 4
    failures = [
        attempt.failure.kind
        for run in store.list_runs()
        for attempt in store.attempts(run.id)
        if attempt.failure is not None
    ]
    assert set(failures) == {"infra"}


async def test_a_server_that_does_not_start_or_settings_that_do_not_fit_break_the_candidate(
    study: StudyWriter, store: Store
) -> None:
    live, cases = evaluator(study(), store)
    async with opened(live):
        for settings in ({"serving.starts": False}, {"agent.nonsense": 1}):
            with pytest.raises(Broken) as broken:
                await live.answer(settings, cases[:2], 0)
            assert broken.value.fresh == 0


async def test_a_knob_is_measured_by_sending_the_traces_again_and_only_once(
    study: StudyWriter, store: Store, stub: type[StubServer]
) -> None:
    live, cases = evaluator(study(), store)
    async with opened(live):
        await live.answer({"serving.word": "even"}, cases, 0)
        stub.asked.clear()
        measured = await live.measure({"serving.word": "even"}, {"serving.knob": 2})
        sent = len(stub.asked)
        again = await live.measure({"serving.word": "even"}, {"serving.knob": 2})
    assert measured.replayed == 8
    assert measured.figures["goodput"] > 0
    assert measured.figures["tokens"] == 6
    assert sent >= 8 + 4  # and the warm-up
    assert {body.get("max_tokens") for body in stub.asked[-8:]} == {1}
    assert all(body.get("ignore_eos") for body in stub.asked[-8:])
    assert again.figures == measured.figures
    assert again.replayed == 0
    assert live.spent() == len(cases) + 8


async def test_runs_say_which_study_they_belong_to(study: StudyWriter, store: Store) -> None:
    live, cases = evaluator(study(), store)
    async with opened(live):
        await live.answer({"serving.word": "odd"}, cases, 0)
        await live.answer({}, cases[:2], 0)
    runs = {run.status: store.get_run(run.id) for run in store.list_runs()}
    assert {run.label for run in runs.values()} == {"study:toy"}
    told = runs["finished"].environment["study"]
    assert told == {"name": "toy", "purpose": "search", "settings": {"serving.word": "odd"}}
    assert runs["interrupted"].case_ids == runs["finished"].case_ids
