"""`agentbench baseline` and `agentbench gate`, and the commands of the pull-request flow in the docs."""

import difflib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.core.errors import UserError
from agentbench.gate.baseline import baseline_of, find_baseline, read_baseline
from agentbench.gate.judge import judge_run
from agentbench.stats.outcomes import Outcome
from agentbench.store import open_store
from agentbench.suite.config import GateOptions

RUNNER = CliRunner()
SUITE = """\
name: numbers
mode: gate
dataset: {name: jsonl}
scorers: [exact]
agent: chat
backend: {name: scripted, replies: REPLIES, default: "no"}
"""


def write(folder: Path, right: int) -> None:
    rules = [{"when": f"^{number:02}$", "content": f"{number:02}"} for number in range(right)]
    (folder / "suite.yaml").write_text(SUITE.replace("REPLIES", json.dumps(rules)))
    lines = [{"id": f"n{n:02}", "input": f"{n:02}", "expected": f"{n:02}"} for n in range(20)]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, lines)))


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a suite and two runs of it: 18 of 20 right, then 8."""
    place = tmp_path_factory.mktemp("two_runs")
    folder = place / "numbers"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("AGENTBENCH_DB", str(place / "store.db"))
        for label, right in (("good", 18), ("bad", 8)):
            write(folder, right)
            assert said("run", "numbers", "--label", label)[0] == 0
    return place


@pytest.fixture(autouse=True)
def workplace(two_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and the working directory."""
    shutil.copytree(two_runs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTBENCH_DB", str(tmp_path / "store.db"))
    return tmp_path


def said(*arguments: str) -> tuple[int, str]:
    result = RUNNER.invoke(app, list(arguments))
    if isinstance(result.exception, UserError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def test_a_baseline_is_a_small_file_that_reads_back() -> None:
    code, output = said("baseline", "save", "main", "good")
    assert (code, "in results/baselines/numbers/main.json" in output) == (0, True)
    text = Path("results/baselines/numbers/main.json").read_text()
    assert len([line for line in text.splitlines() if line.startswith('    "n')]) == 20
    with open_store() as store:
        stored = baseline_of("main", store.get_run("good"), store)
        found = find_baseline("main", store.get_run("bad"), store)
    assert found == read_baseline(Path("results/baselines/numbers/main.json"))
    assert {(each.case_id, each.passed) for each in found.outcomes} == {
        (each.case_id, each.passed) for each in stored.outcomes
    }
    assert isinstance(found.outcomes[0], Outcome)


@pytest.mark.parametrize("where", [(), ("--in-store",)])
def test_the_gate_s_exit_code_says_whether_it_got_worse(where: tuple[str, ...]) -> None:
    said("baseline", "save", "main", "good", *where)
    code, output = said("gate", "bad", "--baseline", "main", "--markdown", "out.md")
    assert code == 1
    assert "FAIL worse than baseline main (one-sided p = 0.00098" in output
    assert "worse than the baseline (10): n08, n09" in output
    assert Path("out.md").read_text().startswith("## ❌ agentbench numbers: failed")
    assert said("gate", "good", "--baseline", "main")[0] == 0
    code, output = said("gate", "good", "--baseline", "main", "--margin", "0.5", "--json")
    assert json.loads(output)["passed"] is True
    assert said("gate", "good", "--min-pass-rate", "0.95")[0] == 1


def test_a_baseline_in_the_store_behind_a_file_is_told() -> None:
    assert said("baseline", "save", "main", "bad", "--in-store")[1].endswith(", in the store\n")
    said("baseline", "save", "main", "good")
    code, output = said("baseline", "save", "main", "bad", "--in-store")
    assert (
        code,
        "but gates use the file results/baselines/numbers/main.json with the same name instead" in output,
    ) == (
        0,
        True,
    )


def test_a_baseline_that_is_not_there_is_told() -> None:
    said("baseline", "save", "main", "good")
    code, output = said("gate", "bad", "--baseline", "mian")
    assert code == 2
    assert (
        "no baseline 'mian' of suite 'numbers'; there are: main. Make one: agentbench baseline save mian RUN" in output
    )
    assert said("baseline", "save", "../x", "good")[0] == 2


def test_only_what_is_fit_is_promoted(workplace: Path) -> None:
    text = (workplace / "numbers" / "suite.yaml").read_text()
    (workplace / "numbers" / "suite.yaml").write_text(text + "gate: {min_pass_rate: 0.9}\n")
    assert said("run", "numbers", "--label", "failing")[0] == 0
    code, output = said("baseline", "promote", "main", "failing")
    assert code == 2
    assert "it fails its gate: pass rate 40.0 % (95 % 21.9 to 61.3 %) over 20 cases is below 90 %" in output
    assert said("baseline", "promote", "main", "failing", "--force")[0] == 0
    assert said("baseline", "promote", "main", "good", "--force")[0] == 0
    code, output = said("baseline", "list", "--json")
    assert [(row["suite"], row["name"]) for row in json.loads(output)] == [("numbers", "main")]


@pytest.mark.parametrize("name", ["", " "])
def test_a_baseline_without_a_name_is_no_baseline(workplace: Path, name: str) -> None:
    """As a shell gives it whose variable is not set."""
    wanted = "names no baseline (a variable that is not set?)"
    code, output = said("gate", "good", "--baseline", name)
    assert (code, wanted in output) == (2, True)
    text = (workplace / "numbers" / "suite.yaml").read_text()
    (workplace / "numbers" / "suite.yaml").write_text(f"{text}gate: {{baseline: '{name}'}}\n")
    code, output = said("run", "numbers")
    assert (code, f"{wanted}; give a name, or leave it out" in output, "suite.yaml:7" in output) == (2, True, True)
    with open_store() as store:
        run = store.get_run("good")
        with pytest.raises(UserError, match="the baseline's name is empty"):
            judge_run(store, run, GateOptions().model_copy(update={"baseline": name}))
    assert said("gate", name)[0] == 2


def test_what_failed_stands_first() -> None:
    """pytest's short summary has the first line alone."""
    code, output = said("gate", "bad", "--min-pass-rate", "0.9", "--slo", "ttft_p50=1h")
    assert code == 1
    assert [line[:4] for line in output.splitlines()[:3]] == ["FAIL", "ok  ", "ok  "]


def test_a_run_that_answers_alike_changes_nothing_in_the_file(workplace: Path) -> None:
    file = Path("results/baselines/numbers/main.json")
    assert "is run numbers-" in said("baseline", "save", "main", "good")[1]
    before = file.read_text()
    write(workplace / "numbers", right=18)
    said("run", "numbers", "--label", "again")
    code, output = said("baseline", "save", "main", "again")
    assert (code, "baseline main of numbers is unchanged: run numbers-" in output) == (0, True)
    assert file.read_text() == before
    (workplace / "numbers" / "cases.jsonl").write_text(
        (workplace / "numbers" / "cases.jsonl").read_text().replace('"expected": "03"', '"expected": "3"')
    )
    said("run", "numbers", "--label", "one other")
    said("baseline", "save", "main", "one other")
    changed = [line for line in difflib.ndiff(before.splitlines(), file.read_text().splitlines()) if line[0] in "+-"]
    assert [line[2:].split()[0] for line in changed] == ['"suite_hash":'] * 2 + ['"run":'] * 2 + ['"n03":'] * 2


def test_a_baseline_of_the_first_schema_is_read_and_written_anew() -> None:
    said("baseline", "save", "main", "good")
    file = Path("results/baselines/numbers/main.json")
    new = read_baseline(file)
    data = json.loads(file.read_text())
    run = data.pop("run")
    for case_id, case in data["cases"].items():
        case["cluster"] = case_id
        case["attempts"][0] |= {"ttft_s": [0.01], "tpot_s": [0.02], "latency_s": [0.5]}
    file.write_text(json.dumps({**data, "schema": 1, "run": run["id"], "commit": run["commit"]}))
    old = read_baseline(file)
    assert (old.run_id, old.suite_cases, old.branch) == (new.run_id, 20, "")
    assert old.times == {"ttft_p50_s": 0.01, "ttft_p95_s": 0.01, "tpot_p50_s": 0.02}
    assert [(each.case_id, each.cluster, each.passed) for each in old.outcomes] == [
        (each.case_id, each.cluster, each.passed) for each in new.outcomes
    ]
    assert said("gate", "bad", "--baseline", "main")[0] == 1
    said("baseline", "save", "main", "good")
    assert read_baseline(file) == new


def test_a_part_is_held_against_the_same_part_of_the_baseline() -> None:
    """10 of 20 cases, drawn by seed."""
    said("baseline", "save", "main", "good")
    code, output = said("run", "numbers", "--limit", "10", "--label", "part", "--set", "backend.default=nope", "--json")
    chosen = {case["case_id"] for case in json.loads(output)["cases"]}
    before = sum(number < 18 for number in range(20) if f"n{number:02}" in chosen)
    now = sum(number < 8 for number in range(20) if f"n{number:02}" in chosen)
    code, output = said("gate", "part", "--baseline", "main", "--markdown", "out.md")
    assert output.splitlines()[-1].startswith(f"gate {'failed' if code else 'passed'} on 10 of 20 cases: numbers-")
    text = Path("out.md").read_text().replace("\\", "")
    assert text.splitlines()[2] == "**A part of the suite: 10 of 20 cases**"
    assert "| cases | 10 | 10 | 10 paired |" in text
    assert f"| {now} / {10 - now} / 0 | {before} / {10 - before} / 0 |" in text
    rates = f"| {before * 10}.0 % | {'−' if now < before else '±'}{(before - now) * 10}.0 pts |"
    assert re.search(rf"\| pass rate \| {now * 10}.0 % .*{re.escape(rates)}", text)
    assert "| TTFT p50 |" in text
    assert "| backend.default | no | nope |" in text
    assert "| run.limit | — | 10 |" in text
    assert "Judged on 10 of 20 cases" in text
    said("baseline", "save", "small", "part")
    assert "cases     10 of 20\n" in said("baseline", "show", "small")[1]
    assert "cases     20\n" in said("baseline", "show", "main")[1]
    assert '"part_of": 20' in Path("results/baselines/numbers/small.json").read_text()
    assert (
        "note: The baseline covers only 10 of its suite's 20 cases." in said("gate", "good", "--baseline", "small")[1]
    )


def test_the_whole_suite_s_cases_are_counted_beside_the_baseline_s(workplace: Path) -> None:
    said("baseline", "save", "main", "good")
    lines = (workplace / "numbers" / "cases.jsonl").read_text().splitlines()
    added = json.dumps({"id": "new", "input": "?", "expected": "?"})
    (workplace / "numbers" / "cases.jsonl").write_text("\n".join([*lines[2:], added]))
    said("run", "numbers", "--label", "other cases")
    said("gate", "other cases", "--baseline", "main", "--markdown", "out.md")
    assert "| cases | 19 | 20 | 18 paired |" in Path("out.md").read_text()


def test_other_scorers_than_the_baseline_s_are_told(workplace: Path) -> None:
    said("baseline", "save", "main", "good")
    text = (workplace / "numbers" / "suite.yaml").read_text()
    (workplace / "numbers" / "suite.yaml").write_text(text.replace("[exact]", "[{name: exact, as: other}]"))
    said("run", "numbers", "--label", "other")
    assert "note: The suite's scorers changed since the baseline." in said("gate", "other", "--baseline", "main")[1]


def test_a_rerun_decides_nothing() -> None:
    with open_store() as store:
        good = store.get_run("good")
        facts = {**good.environment, "rerun_of": good.id}
        store.create_run(replace(good, id="numbers-rerun", label="", kind="rerun", environment=facts))
        store.add_attempts("numbers-rerun", list(store.attempts_with_cases(good.id)))
    commands = (
        ("gate", "numbers-rerun"),
        ("gate", "bad", "--baseline", "numbers-rerun"),
        ("baseline", "save", "main", "numbers-rerun"),
        ("baseline", "save", "main", "numbers-rerun", "--in-store"),
        ("baseline", "promote", "main", "numbers-rerun"),
        ("baseline", "promote", "main", "numbers-rerun", "--force"),
    )
    for command in commands:
        code, output = said(*command)
        assert (code, "numbers-rerun" in output, good.id in output) == (2, True, True), command
    assert said("gate", "latest")[1].endswith(said("gate", "bad")[1])


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"schema": 99}', '{"schema": 1, "name": "main", "suite": "numbers", "cases": {"a": 3}}'],
)
def test_a_file_that_is_no_baseline_is_told(content: str) -> None:
    file = Path("results/baselines/numbers/main.json")
    file.parent.mkdir(parents=True)
    file.write_text(content)
    code, output = said("gate", "bad", "--baseline", "main")
    assert code == 2
    assert str(file) in output
    assert "\n" not in output


def test_the_pull_request_flow_uses_commands_that_exist() -> None:
    root = Path(__file__).parents[2]
    flow = yaml.safe_load((root / "docs/ci/github-actions.yml").read_text())
    steps = [step["run"] for step in flow["jobs"]["gate"]["steps"] if "run" in step]
    lines = [line for step in steps for line in step.splitlines()]
    ours = [line.split() for line in lines if line.startswith("agentbench ")]
    for words in ours:
        depth = 2 if words[1] == "baseline" else 1
        assert said(*words[1 : depth + 1], "--help")[0] == 0
    options = subprocess.run([sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True)
    used = [word.partition("=")[0] for line in lines if line.startswith("pytest ") for word in line.split()]
    assert all(word in options.stdout for word in used if word.startswith("--agentbench"))
