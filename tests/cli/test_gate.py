"""`agentbench baseline` and `agentbench gate`, and the commands of the pull-request flow in the docs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from agentbench.baseline import baseline_of, find_baseline, read_baseline
from agentbench.cli.app import app
from agentbench.errors import UserError
from agentbench.stats.outcomes import Outcome
from agentbench.store import open_store

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


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a suite and two runs of it: 18 of 20 right, then 8."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTBENCH_DB", str(tmp_path / "store.db"))
    folder = tmp_path / "numbers"
    folder.mkdir()
    for label, right in (("good", 18), ("bad", 8)):
        write(folder, right)
        assert said("run", "numbers", "--label", label)[0] == 0
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


def test_a_baseline_that_is_not_there_is_told() -> None:
    said("baseline", "save", "main", "good")
    code, output = said("gate", "bad", "--baseline", "mian")
    assert code == 2
    assert (
        "no baseline 'mian' of suite 'numbers'; there are: main. Make one: agentbench baseline save mian RUN" in output
    )
    assert said("baseline", "save", "../x", "good")[0] == 2


def test_only_what_is_fit_is_promoted(workplace: Path) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    text = (workplace / "numbers" / "suite.yaml").read_text()
    (workplace / "numbers" / "suite.yaml").write_text(text + "gate: {min_pass_rate: 0.9}\n")
    assert said("run", "numbers", "--label", "failing")[0] == 0
    code, output = said("baseline", "promote", "main", "failing")
    assert code == 2
    assert "it fails its gate: pass rate 40.0 % (95 % 21.9 to 61.3 %) over 20 cases is below 90 %" in output
    assert said("baseline", "promote", "main", "failing", "--force")[0] == 0
    assert said("baseline", "promote", "main", "good")[0] == 0
    code, output = said("baseline", "list", "--json")
    assert [(row["suite"], row["name"]) for row in json.loads(output)] == [("numbers", "main")]


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
