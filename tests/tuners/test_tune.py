"""Studies by the command line: from the file to the verdict, resumed, extended, and refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from agentbench.cli.app import app
from agentbench.core.errors import UserError
from agentbench.store import Store, open_store
from tests.tuners.conftest import STUDY
from tests.tuners.stub_server import FAILED, StubServer
from tuners.study.study import make_study

StudyWriter = Callable[..., Path]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTBENCH_DB", raising=False)
    return tmp_path


def agentbench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def refused(*arguments: str | Path) -> str:
    """The message of the `UserError`."""
    result = agentbench(*arguments)
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def study_json(name: str = "toy") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(agentbench("study", name, "--json").stdout)
    return found


@pytest.mark.usefixtures("here")
def test_a_study_finds_the_best_and_judges_it_on_held_out_cases(study: StudyWriter, stub: type[StubServer]) -> None:
    path = study(STUDY.replace("trials: 5", "trials: 8"))
    result = agentbench("tune", path)
    assert result.exit_code == 0, result.output
    assert "Held-out test  100.0 %" in result.stdout
    assert Path("results/studies/toy/study.html").exists()
    found = study_json()
    verdict = found["verdict"]
    assert verdict["settings"]["serving.word"] == "even"
    assert verdict["passes"]["rate_a"] == 1.0
    odd = sum(int(case[1:]) % 2 for case in found["split"]["test"])
    assert verdict["passes"]["rate_b"] == odd / 20
    assert verdict["passes"]["cases"] == 20
    requests = [str(body["messages"]) for body in stub.requests]
    last_of_search = max(
        index
        for index, request in enumerate(requests)
        if any(f" {int(case[1:])}'" in request for case in found["split"]["train"])
    )
    first_of_test = min(
        index
        for index, request in enumerate(requests)
        if any(f" {int(case[1:])}'" in request for case in found["split"]["test"])
    )
    assert first_of_test > last_of_search


def test_a_run_with_best_yaml_has_the_winner_s_configuration(here: Path, study: StudyWriter, suite: Path) -> None:
    agentbench("tune", study(STUDY.replace("trials: 5", "trials: 8")))
    best = here / "results/studies/toy/best.yaml"
    assert yaml.safe_load(best.read_text())["serving.word"] == "even"
    assert "no run 'latest'" in refused("baseline", "save", "main", "latest"), (
        "the study's own runs do not count as the latest run"
    )
    result = agentbench("run", suite, "--config", best, "--json")
    assert result.exit_code == 0, result.output
    with open_store(None, create=False) as store:
        winner = store.get_run(study_json()["verdict"]["runs"]["winner"])
        again = store.get_run("latest")
    assert again.config == winner.config


@pytest.mark.usefixtures("here")
def test_studies_lists_the_studies_in_the_store(study: StudyWriter) -> None:
    assert "there is no store" in refused("studies")
    agentbench("tune", study())
    listed = json.loads(agentbench("studies", "--json").stdout)
    assert [(each["name"], each["status"], each["candidates"]) for each in listed] == [("toy", "finished", 3)]
    assert "toy" in agentbench("studies").stdout
    assert "study 'ty'" in refused("study", "ty")


@pytest.mark.usefixtures("here")
def test_an_interrupted_study_continues(study: StudyWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, left = StubServer._answer, [25]

    def interrupting(self: StubServer, body: dict[str, object]) -> bytes | None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return answer(self, body)

    monkeypatch.setattr(StubServer, "_answer", interrupting)
    broken = agentbench("tune", study())
    assert broken.exit_code == 130
    assert "agentbench tune --resume toy" in broken.stderr
    assert study_json()["status"] == "interrupted"
    assert "there is a study 'toy'" in refused("tune", study())
    continued = agentbench("tune", "--resume", "toy")
    assert continued.exit_code == 0, continued.output
    found = study_json()
    assert found["status"] == "finished"
    assert len(found["candidates"]) == 3


@pytest.mark.usefixtures("here")
def test_search_only_leaves_the_verdict_to_a_later_resume(study: StudyWriter, stub: type[StubServer]) -> None:
    searched = agentbench("tune", study(), "--search-only")
    assert searched.exit_code == 0, searched.output
    assert "agentbench tune --resume toy" in searched.stderr
    found = study_json()
    assert (found["verdict"], len(found["candidates"])) == (None, 3)
    requests = [str(body["messages"]) for body in stub.requests]
    assert not [each for case in found["split"]["test"] for each in requests if f" {int(case[1:])}'" in each]
    assert agentbench("tune", "--resume", "toy").exit_code == 0
    assert study_json()["verdict"]["passes"]["cases"] == 20


@pytest.mark.usefixtures("here")
def test_a_continued_study_may_change_its_budget_only(study: StudyWriter) -> None:
    agentbench("tune", study())
    assert "may only change its budget" in refused("tune", "--resume", "toy", "--set", "seed=3")
    assert "has its verdict" in refused("tune", "--resume", "toy", "--set", "budget.trials=9")
    assert "which study?" in refused("tune")


@pytest.mark.usefixtures("here")
def test_a_constraint_that_no_candidate_meets_is_an_error_with_the_nearest_candidate(study: StudyWriter) -> None:
    path = study(STUDY + "constraints: {ttft_p95: 0.000001}\n")
    result = agentbench("tune", path)
    assert isinstance(result.exception, UserError)
    assert "no candidate meets every constraint" in str(result.exception)
    assert "Nearest: candidate" in result.stdout
    assert "bound 1e-06" in result.stdout


PRICED = "objectives: [quality, cost]\nbaseline: {serving.model: cheap}\nprices: {cheap: {prompt: 1, completion: 1}}"
STEP = "{server: stub, model: planner}"
BAD = {
    "space:\n  serving.wrod: [1]": "serving.wrod",
    "space:\n  nonsense.word: [1]": "a path under agent",
    "space:\n  serving.word: []": "space.serving.word = []: an empty choice: list at least one value",
    "space:\n  serving.word: {low: 3, high: 1}": "low = 3 is above high = 1",
    "space:\n  serving.knob: {low: 1, high: 4, step: 1, log: true}": "log or step",
    "space:\n  serving.knob: [1, two]": "serving.knob",
    "space:\n  serving.word: {choices: [even], when: {serving.knob: 1}}": "serving.knob",
    "space:\n  run.seed: [1, 2]": "not a path to tune",
    "space:\n  serving.here: [true, false]": "is not pulled",
    "split: {test: 0.001}": "no test cases",
    "budget: {}": "budget = {}: set at least one of trials, case_runs and seconds",
    "constraints: {ttft_p99: 1s}": "constraints.ttft_p99",
    "constraints: {ttft_p95: 0}": "above 0",
    "sampler: magic": "sampler",
    "references: {other: {serving.wrod: 1}}": "serving.wrod",
    "references: {winner: {serving.word: odd}}": "every verdict has a run named 'winner'",
    "references: {served: {serving.word: odd}}": "give the reference another name",
    "space:\n  serving.delay_s: {low: 0, high: .inf}": "space.serving.delay_s.high = inf: expected a finite number",
    "space:\n  serving.delay_s: {low: .nan, high: 1}": "space.serving.delay_s.low = nan: expected a finite number",
    "space:\n  serving.delay_s: [0, .nan]": "space.serving.delay_s.1 = nan: expected a finite number",
    "space:\n  serving.word: [even, 2024-01-01]": "YAML reads this as a date; put it in quotes",
    "space:\n  serving.word: {choices: [even], when: {serving.knob: []}}": "serving.knob",
    "space:\n  serving.knob: [1, 2]\n  serving.word: {choices: [even], when: {serving.knob: []}}": "names no value",
    "forbidden: [{serving.word: evn}]": "forbidden: serving.word = 'evn': it never has this value",
    "constraints: {ttft_p95: .nan}": "constraints.ttft_p95 = nan: expected a finite number",
    "constraints: {ttft_p95: .inf}": "expected a finite number",
    "constraints: {quality: 40}": "expected a share of right answers, for example 0.4",
    "constraints: {tokens: 5m}": "constraints.tokens = '5m': expected a number",
    "constraints: {cost: 1}": "cost needs the price of a million prompt and of a million completion tokens of",
    "objectives: [quality, cost]\nprices: {other: {prompt: 1, completion: 1}}": "Models with a price: other",
    "prices: {stub: {prompt: -1}}": "prices.stub.prompt",
    f"{PRICED}\nreferences: {{other: {{serving.model: dear}}}}": (
        "completion tokens of dear, for example prices: {dear: {prompt"
    ),
    f"{PRICED}\nspace:\n  workflow: [direct, {{name: plan_then_act, plan_model: {{serving: {STEP}}}}}]": (
        "completion tokens of planner, for example prices: {planner: {prompt"
    ),
    f"{PRICED}\nspace:\n  workflow: [{{name: retry_with_feedback, check: json, retry_model: {{serving: {STEP}}}}}]": (
        "completion tokens of planner"
    ),
    "budget: {seconds: .inf}": "budget.seconds = inf: expected a finite number",
    "split: {test: 1.0}": "a share is below 1, and a number of cases is whole",
    "split: {train: 20.5}": "a share is below 1",
    "name: ..": "name = '..'",
    "name: .": "name = '.'",
    "max_failures: 1": "max_failures",
}


@pytest.mark.parametrize("text", BAD)
def test_an_invalid_file_is_one_line_with_its_place(here: Path, study: StudyWriter, text: str) -> None:
    document = yaml.safe_load(STUDY) | yaml.safe_load(text)
    message = refused("tune", study(yaml.safe_dump(document)))
    assert BAD[text] in message
    assert "\n" not in message.strip()
    assert not (here / "results").exists()


def test_set_with_an_unknown_path_is_refused(study: StudyWriter) -> None:
    assert "--set 'bugdet.trials=3'" in refused("tune", study(), "--set", "bugdet.trials=3")


def test_the_study_s_slo_replaces_the_suite_s_objectives(study: StudyWriter, store: Store) -> None:
    new_study = make_study(study(STUDY + "slo: {ttft: 250ms}\n"), {})
    assert new_study.suite.objectives == {"ttft": 0.25}


@pytest.mark.usefixtures("here")
def test_a_larger_budget_continues_the_candidates_that_the_first_one_ended(study: StudyWriter) -> None:
    path = study(STUDY.replace("trials: 5", "case_runs: 30").replace("  serving.knob: [1, 2]\n", ""))
    first = agentbench("tune", path, "--search-only")
    assert first.exit_code == 0, first.output
    assert "the budget: a candidate needs 4 case-runs for the first rung and 20 for all of train" in first.stderr
    assert (
        "30 case-runs are enough for the baseline and the first rung of 2 others, or for all of train of 1"
        in first.stderr
    )
    found = study_json()
    assert sum(each["case_runs"] for each in found["candidates"]) == 30
    assert "out of budget" in [each["end"] for each in found["candidates"]]
    continued = agentbench("tune", "--resume", "toy", "--set", "budget.case_runs=60", "--search-only")
    assert continued.exit_code == 0, continued.output
    found = study_json()
    assert sorted(each["end"] for each in found["candidates"]) == ["dropped", "finished", "finished"]
    assert {each["case_runs"] for each in found["candidates"] if each["end"] == "finished"} == {20}


@pytest.mark.usefixtures("here")
def test_the_front_of_an_unfinished_study_compares_candidates_on_common_cases(
    study: StudyWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, left = StubServer._answer, [20]

    def interrupting(self: StubServer, body: dict[str, object]) -> bytes | None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return answer(self, body)

    monkeypatch.setattr(StubServer, "_answer", interrupting)
    text = STUDY.replace("[never, even, odd]", "[never, even]").replace("  serving.knob: [1, 2]\n", "")
    text = text.replace("sizes: [4, 8], opening: 2", "sizes: [4, 8, 16], opening: 2")
    broken = agentbench("tune", study(text + "objectives: [quality]\nconstraints: {ttft_p95: 1m}\n"))
    assert broken.exit_code == 130
    found = study_json()
    better = next(each for each in found["candidates"] if each["settings"] == {"serving.word": "even"})
    assert better["end"] == "unfinished"
    assert len(better["scores"]) < 20
    assert found["front"] == [better["number"]]
    assert "● unfinished" in agentbench("study", "toy").stdout


EVENS = [f"even {number}" for number in range(0, 40, 2)]


@pytest.mark.usefixtures("here")
def test_a_candidate_whose_server_fails_on_hard_cases_is_broken_and_never_wins(study: StudyWriter) -> None:
    text = STUDY.replace("  serving.knob: [1, 2]\n", f"  serving.fails_on: [[], {EVENS}]\n").replace("[never, ", "[")
    result = agentbench("tune", study(text.replace("trials: 5", "trials: 8")))
    assert result.exit_code == 0, result.output
    found = study_json()
    failing = [each for each in found["candidates"] if each["settings"].get("serving.fails_on")]
    assert failing
    for each in failing:
        assert each["end"] == "broken"
        assert "infra: HTTP 503" in each["reason"]
        assert each["number"] not in found["front"]
    assert found["verdict"]["settings"] == {"serving.word": "even", "serving.fails_on": []}


@pytest.mark.usefixtures("here")
def test_there_is_no_winner_when_too_many_test_attempts_failed(study: StudyWriter) -> None:
    split = make_study(study(), {}).split
    failing = [f"{'odd' if int(case[1:]) % 2 else 'even'} {int(case[1:])}" for case in sorted(split.test)[:3]]
    text = STUDY.replace("space:", f"baseline: {{serving.fails_on: {failing}}}\nspace:")
    message = refused("tune", study(text.replace("  serving.knob: [1, 2]\n", "")))
    assert "3 of 20 attempts on test were left out" in message
    assert "max_failures" in message
    assert not Path("results/studies/toy/best.yaml").exists()
    assert "its test cases are used up" in refused("tune", "--resume", "toy", "--set", "budget.trials=9")
    allowed = text.replace("toy", "other").replace("space:", "max_failures: 0.2\nspace:")
    shown = agentbench("tune", study(allowed.replace("  serving.knob: [1, 2]\n", "")))
    assert shown.exit_code == 0, shown.output
    assert "17 cases, paired, 3 failed attempts left out" in " ".join(shown.stdout.split())


@pytest.mark.usefixtures("here")
def test_finalists_that_break_use_no_test_case(study: StudyWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    path = study(STUDY.replace("  serving.knob: [1, 2]\n", ""))
    agentbench("tune", path, "--search-only")
    with monkeypatch.context() as broken:
        broken.setattr(StubServer, "_answer", lambda self, body: FAILED)
        message = refused("tune", "--resume", "toy")
    assert "no verdict yet: every finalist broke" in message
    assert "No test case was used" in message
    assert (study_json()["verdict"], study_json()["status"]) == (None, "interrupted")
    assert agentbench("tune", "--resume", "toy", "--set", "budget.trials=6").exit_code == 0
    assert study_json()["verdict"]["passes"]["rate_a"] == 1.0


@pytest.mark.usefixtures("here")
def test_a_baseline_that_broke_is_tried_again(study: StudyWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    path = study(STUDY.replace("  serving.knob: [1, 2]\n", ""))
    with monkeypatch.context() as broken:
        broken.setattr(StubServer, "_answer", lambda self, body: FAILED)
        assert (
            "the baseline is broken, so there is nothing to compare with: none of 4 attempts was answered"
            in refused("tune", path)
        )
    continued = agentbench("tune", "--resume", "toy")
    assert continued.exit_code == 0, continued.output
    assert study_json()["candidates"][0]["end"] == "finished"


SCORER = "scorers: [exact]"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("part", ["scorers", "agent", "tools", "file"])
def test_a_study_whose_parts_changed_does_not_continue(study: StudyWriter, suite: Path, part: str) -> None:
    tool, file = suite / "tool.py", suite / "suite.yaml"
    tool.write_text('def add(a: int) -> int:\n    """Adds."""\n    return a\n')
    text = file.read_text().replace("agent: chat", "tools: [tool.py:add]\nagent: {name: tool_loop, max_tokens: 30}")
    file.write_text(text)
    path = study(STUDY.replace("trials: 5", "trials: 1"))
    assert agentbench("tune", path, "--search-only").exit_code == 0
    changes = {
        "scorers": lambda: file.write_text(text.replace(SCORER, "scorers: [includes]")),
        "agent": lambda: file.write_text(text.replace("max_tokens: 30", "max_tokens: 40")),
        "tools": lambda: file.write_text(text.replace("tools: [tool.py:add]\n", "")),
        "file": lambda: tool.write_text(tool.read_text().replace("return a", "return a + 1")),
    }
    changes[part]()
    message = refused("tune", "--resume", "toy")
    assert "parts of it have changed since it was started" in message
    assert ("tool.py" if part == "file" else part) in message
    assert study_json()["verdict"] is None


@pytest.mark.usefixtures("here")
def test_an_agent_that_cannot_be_imported_leaves_no_study_behind(study: StudyWriter) -> None:
    text = STUDY.replace("space:", "baseline: {agent: {name: callable, target: 'no_such_module:answer'}}\nspace:")
    assert "no_such_module" in refused("tune", study(text))
    choice = STUDY + "  agent: [chat, {name: callable, target: 'no_such_module:answer'}]\n"
    assert "space.agent" in refused("tune", study(choice))
    assert not Path("results").exists()


PLAIN = STUDY.replace("  serving.knob: [1, 2]\n", "")


@pytest.mark.usefixtures("here")
def test_a_study_gets_more_choices_and_keeps_its_results(study: StudyWriter, stub: type[StubServer]) -> None:
    path = study(PLAIN.replace("[never, even, odd]", "[never, odd]").replace("trials: 5", "trials: 9"))
    assert agentbench("tune", path, "--search-only").exit_code == 0
    before = study_json()
    before_count = len(stub.requests)
    for other in ("[odd, never, even]", "[never]", "{low: 1, high: 2}"):
        message = refused("tune", "--resume", "toy", "--set", f"space.serving.word={other}")
        assert "may only get more choices, after those it has: ['never', 'odd']" in message
    assert "it is not in the space" in refused("tune", "--resume", "toy", "--set", "space.serving.other=[1, 2]")
    assert study_json() == before
    more = ("--set", "space.serving.word=[never, odd, even]", "--search-only")
    continued = agentbench("tune", "--resume", "toy", *more)
    assert continued.exit_code == 0, continued.output
    *old, new = study_json()["candidates"]
    assert old == before["candidates"]
    assert (new["settings"], new["quality"], new["case_runs"]) == ({"serving.word": "even"}, 1.0, 20)
    assert len(stub.requests) - before_count == 20
    assert agentbench("tune", "--resume", "toy", "--search-only").exit_code == 0
    assert study_json()["candidates"] == [*old, new]


@pytest.mark.usefixtures("here")
def test_another_study_reuses_the_answers_of_the_first(study: StudyWriter, stub: type[StubServer]) -> None:
    agentbench("tune", study(PLAIN))
    stub.requests.clear()
    other = PLAIN.replace("name: toy", "name: other").replace("[never, even, odd]", "[never, even, odd, other]")
    assert agentbench("tune", study(other), "--search-only").exit_code == 0
    runs = {each["settings"].get("serving.word"): each["case_runs"] for each in study_json("other")["candidates"]}
    assert runs[None] == runs["even"] == runs["odd"] == 0
    assert runs["other"] == len(stub.requests) > 0


@pytest.mark.usefixtures("here")
def test_a_search_uses_no_answer_of_another_study_to_its_test_cases(study: StudyWriter, stub: type[StubServer]) -> None:
    agentbench("tune", study(PLAIN), "--search-only")
    stub.requests.clear()
    other = PLAIN.replace("name: toy", "name: other").replace("seed: 1", "seed: 2")
    agentbench("tune", study(other))
    found = study_json("other")
    test = set(found["split"]["test"])
    assert all(not set(each["scores"]) & test for each in found["candidates"])
    requests = [str(body["messages"]) for body in stub.requests]
    assert all(any(f" {int(case[1:])}'" in each for each in requests) for case in test)


@pytest.mark.usefixtures("here")
def test_a_study_that_an_error_ended_is_shown_as_interrupted(
    study: StudyWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("tuners.engine.evaluator.LiveEvaluator.answer", failing)
    assert isinstance(agentbench("tune", study()).exception, RuntimeError)
    assert study_json()["status"] == "interrupted"
