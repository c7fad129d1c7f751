"""The evaluator on a live server: cached answers, lossless knobs, crashes and outages."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agentbench.core.attempt import Attempt
from agentbench.core.errors import UserError
from agentbench.store import Store
from tests.tuners.conftest import STUDY
from tests.tuners.stub_server import FAILED, StubConfig, StubServer
from tuners.engine import case_runs
from tuners.engine.case_runs import ServerWait, Unreachable
from tuners.engine.evaluator import LiveEvaluator
from tuners.search.evaluator import Allowance, Broken, OutOfBudget
from tuners.study.study import make_study, store_study

StudyWriter = Callable[..., Path]
ODD = frozenset(f"{number:02}" for number in range(1, 40, 2))


def live_evaluator(path: Path, store: Store) -> tuple[LiveEvaluator, tuple[str, ...]]:
    """The evaluator of the study in the file, and its train cases."""
    new_study = make_study(path, {})
    store_study(new_study, store)
    live = LiveEvaluator(new_study, store)
    return live, new_study.split.train


async def test_an_answer_is_computed_once(study: StudyWriter, store: Store) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        first = await live.answer(live.configuration({"serving.word": "even"}), cases[:6])
        second = await live.answer(live.configuration({"serving.word": "even"}), cases[:8])
    assert first.fresh == 6
    assert second.fresh == 2
    assert second.scores == dict.fromkeys(cases[:8], 1.0)
    assert {"ttft_p50", "goodput", "tokens"} <= second.figures.keys()
    assert live.cached == 6
    assert live.spent() == 8


async def test_a_lossless_knob_and_an_explicit_default_share_the_answers(study: StudyWriter, store: Store) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        await live.answer(live.configuration({"serving.word": "even", "serving.knob": 2}), cases[:6])
        other = await live.answer(live.configuration({"serving.word": "even", "serving.knob": 1}), cases[:6])
        same = await live.answer(live.configuration({"serving.word": "even"}), cases[:6])
    assert other.fresh == same.fresh == 0
    assert len(other.scores) == 6
    assert not other.figures  # times belong to the server that answered


async def test_a_server_starts_once_for_each_configuration(
    study: StudyWriter, store: Store, stub: type[StubServer]
) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        await live.answer(live.configuration({"serving.word": "even"}), cases[:4])
        await live.answer(live.configuration({"serving.word": "even", "agent.max_tokens": 8}), cases[:4])
        assert stub.started == 1
        await live.answer(live.configuration({"serving.word": "odd"}), cases[:4])
    assert stub.started == 2


async def test_a_server_forgets_the_prompts_of_another_candidate(
    study: StudyWriter, store: Store, stub: type[StubServer]
) -> None:
    """Else the second candidate's first tokens come sooner, by what the first one left in the cache."""
    live, cases = live_evaluator(study(), store)
    longer = {"serving.word": "even", "agent.max_tokens": 8}
    async with aclosing(live):
        await live.answer(live.configuration({"serving.word": "even"}), cases[:4])
        await live.answer(live.configuration({"serving.word": "even"}), cases[:8])
        assert stub.resets == 0
        await live.answer(live.configuration(longer), cases[:4])
        assert stub.resets == 1
        await live.answer(live.configuration(longer), cases[:4], purpose="final")
        assert (stub.resets, stub.started) == (2, 1)


async def test_a_server_that_cannot_forget_is_started_again(
    study: StudyWriter, store: Store, stub: type[StubServer]
) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        await live.answer(live.configuration({"serving.forgets": False}), cases[:4])
        await live.answer(live.configuration({"serving.forgets": False, "agent.max_tokens": 8}), cases[:4])
    assert stub.started == 2


async def test_a_server_that_dies_breaks_the_candidate_and_the_next_one_gets_a_new_server(
    study: StudyWriter, store: Store
) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        with pytest.raises(Broken, match="died") as broken:
            await live.answer(live.configuration({"serving.dies_on": "even"}), cases)
        assert broken.value.fresh > 0
        assert live.spent() == broken.value.fresh
        again = await live.answer(live.configuration({}), cases[:4])
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
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        for settings in ({"serving.starts": False}, {"agent.nonsense": 1}):
            with pytest.raises(Broken) as broken:
                await live.answer(live.configuration(settings), cases[:2])
            assert broken.value.fresh == 0


async def test_a_knob_is_measured_once_by_a_replay_of_the_traces(
    study: StudyWriter, store: Store, stub: type[StubServer]
) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        await live.answer(live.configuration({"serving.word": "even"}), cases)
        stub.requests.clear()
        measured = await live.measure(live.configuration({"serving.word": "even"}), {"serving.knob": 2})
        sent = len(stub.requests)
        again = await live.measure(live.configuration({"serving.word": "even"}), {"serving.knob": 2})
    assert measured.replayed == 8
    assert measured.figures["goodput"] > 0
    assert measured.figures["tokens"] == 6
    assert sent >= 8 + 4  # and the warm-up
    assert {body.get("max_tokens") for body in stub.requests[-8:]} == {1}
    assert all(body.get("ignore_eos") for body in stub.requests[-8:])
    assert again.figures == measured.figures
    assert again.replayed == 0
    assert live.spent() == len(cases) + 8


async def test_runs_say_which_study_they_belong_to(study: StudyWriter, store: Store) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        await live.answer(live.configuration({"serving.word": "odd"}), cases)
        await live.answer(live.configuration({}), cases[:2])
    runs = {run.status: store.get_run(run.id) for run in store.list_runs()}
    assert {run.label for run in runs.values()} == {"study:toy"}
    facts = runs["finished"].environment["study"]
    assert facts == {"name": "toy", "purpose": "search", "settings": {"serving.word": "odd"}}
    assert runs["interrupted"].case_ids == runs["finished"].case_ids


@pytest.mark.parametrize("settings", [{"serving.hangs": True}, {"serving.delay_s": 3600}])
async def test_the_time_limit_cancels_a_server_start_and_attempts_in_flight(
    study: StudyWriter, store: Store, stub: type[StubServer], settings: dict[str, Any]
) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        cut = await live.answer(live.configuration(settings), cases, Allowance(seconds=0.5))
        assert (cut.fresh, cut.complete, cut.scores) == (0, False, {})
    assert stub.running == 0


async def test_attempts_that_the_server_failed_run_twice_and_then_do_not_pass(
    study: StudyWriter, store: Store, monkeypatch: pytest.MonkeyPatch, stub: type[StubServer]
) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        bad = await live.answer(live.configuration({"serving.fails_on": ["even 0", "odd 1", "even 2", "odd 3"]}), cases)
        assert bad.failed == len({"c00", "c01", "c02", "c03"} & set(cases)) > 0
        assert (bad.attempts, bad.fresh, len(bad.scores), bad.complete) == (20, 20, 20, True)
        assert sum(bad.scores.values()) == sum(case[1:] in ODD and case > "c03" for case in cases)
        assert "infra: HTTP 503" in bad.failure
        # This case fails in its first three tries only, which are all tries of one attempt.
        answer, failures = stub._answer, [3]

        def failing(self: StubServer, body: dict[str, Any]) -> bytes | None:
            if f" {int(cases[0][1:])}'" in str(body["messages"]) and failures[0]:
                failures[0] -= 1
                return FAILED
            return answer(self, body)

        monkeypatch.setattr(stub, "_answer", failing)
        again = await live.answer(live.configuration({"serving.other": 1}), cases)
    assert failures == [0]
    assert (again.failed, again.fresh, len(again.scores)) == (0, 20, 20)


URL_STUDY = STUDY.replace("space:", "baseline: {serving: {server: url, base_url: URL, model: stub}}\nspace:").replace(
    "  serving.word: [never, even, odd]\n  serving.knob: [1, 2]\n", "  agent.max_tokens: [8, 16]\n"
)


async def test_the_evaluator_waits_for_an_external_server_in_an_outage(
    study: StudyWriter, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = StubServer(StubConfig(word="even"))
    endpoint = await server.start(tmp_path)
    port = int(endpoint.base_url.split(":")[2].split("/")[0])
    answer, left, servers = StubServer._answer, [9], [server]

    def dying(self: StubServer, body: dict[str, Any]) -> bytes | None:
        left[0] -= 1
        return None if left[0] == 0 else answer(self, body)

    async def comes_back(self: ServerWait, reason: str) -> None:
        assert reason == "it does not answer"
        servers.append(StubServer(StubConfig(word="even", port=port)))
        await servers[-1].start(tmp_path)

    monkeypatch.setattr(StubServer, "_answer", dying)
    monkeypatch.setattr(ServerWait, "pause", comes_back)
    new_study = make_study(study(URL_STUDY.replace("URL", endpoint.base_url)), {})
    store_study(new_study, store)
    live = LiveEvaluator(new_study, store)
    async with aclosing(live):
        answers = await live.answer(live.configuration({}), new_study.split.train)
        assert (answers.failed, set(answers.scores.values()), len(servers)) == (0, {1.0}, 2)
        await servers[1].stop()
        # Another worker of the study starts during the outage. The server answered before, so the worker waits.
        other = LiveEvaluator(new_study, store)
        monkeypatch.undo()
        monkeypatch.setattr(case_runs, "PATIENCE_S", -1.0)
        with pytest.raises(Unreachable, match="has been away"):
            await other.answer(other.configuration({"agent.max_tokens": 8}), new_study.split.train)
    for each in servers:
        await each.stop()


async def test_a_server_that_refuses_all_requests_breaks_its_candidate_or_stops_a_study_with_answers(
    study: StudyWriter, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, cases = live_evaluator(study(), store)

    async def refusing(*_: Any) -> AsyncIterator[Attempt]:
        none: tuple[Attempt, ...] = ()
        for attempt in none:
            yield attempt
        raise UserError("the model server refuses the run's requests: HTTP 401")

    async with aclosing(live):
        with monkeypatch.context() as patched:
            patched.setattr(case_runs, "run_stored", refusing)
            with pytest.raises(Broken, match="HTTP 401"):
                await live.answer(live.configuration({}), cases[:4])
        await live.answer(live.configuration({}), cases[:4])
        monkeypatch.setattr(case_runs, "run_stored", refusing)
        with pytest.raises(UserError, match="HTTP 401"):
            await live.answer(live.configuration({"agent.max_tokens": 8}), cases[:4])


async def test_a_url_that_never_answered_breaks_the_candidate_at_once(study: StudyWriter, store: Store) -> None:
    new_study = make_study(study(URL_STUDY.replace("URL", "http://127.0.0.1:9/v1")), {})
    store_study(new_study, store)
    live = LiveEvaluator(new_study, store)
    async with aclosing(live):
        with pytest.raises(Broken, match="can't be reached"):
            await live.answer(live.configuration({}), new_study.split.train)


async def test_a_replay_beyond_the_allowance_does_not_begin(study: StudyWriter, store: Store) -> None:
    live, cases = live_evaluator(study(), store)
    async with aclosing(live):
        await live.answer(live.configuration({"serving.word": "even"}), cases)
        recorded = live.configuration({"serving.word": "even"})
        for allowance in (Allowance(case_runs=7), Allowance(seconds=0.0)):
            with pytest.raises(OutOfBudget):
                await live.measure(recorded, {"serving.knob": 2}, allowance)
        assert live.spent() == len(cases)
        assert (await live.measure(recorded, {"serving.knob": 2}, Allowance(case_runs=8))).replayed == 8
