"""Configurations, and workflows: an agent with the candidate's agent inside it."""

from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agentbench.core.errors import UserError
from agentbench.store import Store
from agentbench.suite.config import as_mapping, canonical_hash, read_settings
from agentbench.suite.suite import Suite, load_suite
from tests.tuners.stub_server import StubServer
from tuners import StudyProgress, run_study
from tuners.engine.evaluator import LiveEvaluator
from tuners.report.best_file import write_best
from tuners.space.configuration import Configuration, Configurations, configured
from tuners.space.space import Settings
from tuners.study.study import make_study, store_study
from tuners.verdict.verdict import Verdict

StudyWriter = Callable[..., Path]
VOTES = {"name": "self_consistency", "votes": 3}


@pytest.fixture
def loaded(suite: Path) -> Suite:
    return load_suite(suite)


def configuration(suite: Suite, settings: Settings) -> Configuration:
    return Configurations(suite, {}, 0).of(settings)


def agent_of(suite: Suite, **settings: Any) -> dict[str, Any]:
    dotted = {path.replace("__", "."): value for path, value in settings.items()}
    return configured(suite, dotted).config.agent.model_dump(mode="json")


def test_direct_changes_nothing(loaded: Suite) -> None:
    assert configuration(loaded, {"workflow": "direct"}).config_hash == configuration(loaded, {}).config_hash


def test_the_agent_of_the_other_settings_is_inside(loaded: Suite) -> None:
    assert agent_of(loaded, workflow=VOTES, agent__max_tokens=9) == {
        **VOTES,
        "inner": {"name": "chat", "max_tokens": 9},
    }
    assert agent_of(loaded, workflow="self_consistency", workflow__votes=5) == {
        "name": "self_consistency",
        "votes": 5,
        "inner": {"name": "chat"},
    }


def test_another_workflow_needs_new_answers_and_an_explicit_default_does_not(loaded: Suite) -> None:
    hashes = [
        configuration(loaded, {"workflow": workflow}).answers
        for workflow in ("direct", VOTES, "self_consistency", {**VOTES, "votes": 4}, "plan_then_act")
    ]
    assert hashes[1] == hashes[2]
    assert len(set(hashes)) == 4
    inside = [configuration(loaded, {"workflow": VOTES, **more}).answers for more in ({}, {"agent.max_tokens": 512})]
    assert inside[0] == inside[1]
    assert configuration(loaded, {"workflow": VOTES, "agent.max_tokens": 9}).answers not in hashes


def test_a_configuration_is_built_once_and_states_its_problem(loaded: Suite) -> None:
    configurations = Configurations(loaded, {}, 0)
    first = configurations.of({"agent.max_tokens": 9})
    assert configurations.of({"agent.max_tokens": 9}) is first
    assert configurations.of({"agent.max_tokens": 9}, 1).answers != first.answers
    assert configurations.of({"agent.max_tokens": 512}).key == configurations.of({}).key
    wrong = configurations.of({"agent.nonsense": 1, "serving.word": "odd"})
    assert "agent.nonsense" in wrong.problem
    assert wrong.served == configurations.of({"serving.word": "odd"}).served
    assert wrong.key != configurations.of({"serving.word": "odd"}).key


async def test_a_study_builds_each_configuration_once(
    study: StudyWriter, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds: Counter[str] = Counter()

    def counting(suite: Suite, settings: Settings, seed: int | None = None) -> Suite:
        builds[f"{sorted(settings.items())} {seed}"] += 1
        return configured(suite, settings, seed)

    monkeypatch.setattr("tuners.space.configuration.configured", counting)
    toy = make_study(study(), {"budget.trials": 3})
    store_study(toy, store)
    await run_study(toy, store, str(tmp_path / "store.db"), StudyProgress(toy.name))
    assert len(builds) >= 3
    assert set(builds.values()) == {1}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "workflow: [direct, self_consistensy]",
            "space.workflow: workflow = 'self_consistensy': expected one",
        ),
        ("workflow: [direct, chat]", "workflow = 'chat': expected one of direct, plan_then_act, retry_with_feedback"),
        ("workflow: [{name: self_consistency, vote: 3}]", "unknown key 'workflow.vote'. Did you mean 'votes'"),
        ("workflow: [{votes: 3}]", "expected a name, or a mapping with name and options"),
        ("workflow: [{name: self_consistency, inner: chat}]", "workflow.inner: the agent inside is the one that"),
        ("workflow.votes: [3, 5]", "workflow.votes: the workflow direct has no options"),
        ("workflow: [{name: plan_then_act, plan_model: {serving: {server: stub, here: false}}}]", "is not pulled"),
        ("workfow: [direct]", "expected workflow, or a path under agent"),
    ],
)
def test_a_wrong_workflow_is_an_error_before_anything_starts(
    study: StudyWriter, stub: type[StubServer], entry: str, message: str
) -> None:
    path = study(f"name: toy\nsplit: {{test: 20}}\nbudget: {{trials: 5}}\nspace:\n  {entry}\n")
    with pytest.raises(UserError) as error:
        make_study(path, {})
    assert message in str(error.value)
    assert "study.yaml:5" in str(error.value)
    assert not stub.started


def test_a_workflow_s_option_may_have_a_condition_and_the_baseline_may_have_a_workflow(study: StudyWriter) -> None:
    path = study(
        "name: toy\nsplit: {test: 20}\nbudget: {trials: 5}\nbaseline: {workflow: plan_then_act}\nspace:\n"
        "  workflow: [direct, self_consistency]\n"
        "  workflow.votes: {low: 2, high: 5, when: {workflow: self_consistency}}\n"
    )
    new_study = make_study(path, {})
    assert configured(new_study.suite, new_study.file.baseline).config.agent.name == "plan_then_act"


@pytest.mark.parametrize(
    ("own", "settings"),
    [
        ({}, {"workflow": VOTES, "agent.max_tokens": 9, "serving.word": "even"}),
        ({}, {"workflow": "direct", "agent.max_tokens": 9}),
        ({}, {"workflow": "retry_with_feedback", "workflow.check": "json", "agent.system_prompt": "Be: brief #1"}),
        ({}, {"workflow": {"name": "plan_then_act", "plan_model": {"serving": {"server": "stub", "word": "odd"}}}}),
        # The suite's own agent is a workflow whose options must not stay.
        ({"agent": {"name": "self_consistency", "inner": "chat", "temperature": 0.2}}, {"workflow": VOTES}),
        ({"agent": {"name": "self_consistency", "inner": "chat", "votes": 2}}, {"agent.votes": 4}),
    ],
)
def test_best_yaml_makes_the_same_run(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: Settings, settings: Settings
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (suite / "suite.yaml").read_text()
    if own:
        (suite / "suite.yaml").write_text(text.replace("agent: chat", f"agent: {own['agent']}"))
    loaded = load_suite(suite)
    baseline = {"agent.max_tokens": 100} if not own else {}
    best = write_best("toy", baseline, Verdict(winner=3, settings=settings), loaded)
    again = load_suite(suite, read_settings(best))
    assert canonical_hash(as_mapping(again.config)) == configuration(loaded, {**baseline, **settings}).config_hash
    assert configuration(again, {}).answers == configuration(loaded, {**baseline, **settings}).answers


async def test_a_workflow_answers_with_the_candidate_s_agent_inside(
    study: StudyWriter, store: Store, stub: type[StubServer]
) -> None:
    new_study = make_study(study(), {})
    store_study(new_study, store)
    live = LiveEvaluator(new_study, store)
    settings = {"workflow": VOTES, "agent.system_prompt": "Say yes or no.", "serving.word": "even"}
    async with aclosing(live):
        answers = await live.answer(live.configuration(settings), new_study.split.train[:4])
    assert answers.scores == dict.fromkeys(new_study.split.train[:4], 1.0)
    assert len(stub.requests) == 3 * 4
    assert all("Say yes or no." in str(body["messages"]) for body in stub.requests)
    assert len({body["seed"] for body in stub.requests}) == 3 * 4


async def test_a_step_s_own_model_runs_on_a_second_server(
    study: StudyWriter, store: Store, stub: type[StubServer]
) -> None:
    new_study = make_study(study(), {})
    store_study(new_study, store)
    live = LiveEvaluator(new_study, store)
    planner = {"server": "stub", "model": "planner", "word": "never"}
    settings = {"workflow": {"name": "plan_then_act", "plan_model": {"serving": planner}}, "serving.word": "even"}
    async with aclosing(live):
        answers = await live.answer(live.configuration(settings), new_study.split.train[:8])
        assert stub.started == 2
        stub.requests.clear()
        await live.measure(live.configuration(settings), {"serving.knob": 2})
        replayed = [body for body in stub.requests if body["model"] == "planner"]
    assert answers.scores == dict.fromkeys(new_study.split.train[:8], 1.0)
    assert answers.figures["tokens"] == 2 * 6
    assert stub.requests
    assert not replayed
