"""Which runs become baselines: the whole committed suite, passed by its gate and not worse than what it replaces."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.core.errors import UserError
from agentbench.store import Store, open_store

RUNNER = CliRunner()
SUITE = """\
name: numbers
mode: MODE
dataset: {name: jsonl}
scorers: [exact]
agent: chat
backend: {name: scripted, replies: REPLIES, default: "no"}
"""
FILE = Path("results/baselines/numbers/main.json")


def said(*arguments: str) -> tuple[int, str]:
    result = RUNNER.invoke(app, list(arguments))
    if isinstance(result.exception, UserError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def git(*arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout


def write(right: int, mode: str = "gate", extra: str = "", cases: int = 20) -> None:
    """A suite of 20 cases of which the first `right` are answered rightly."""
    rules = [{"when": f"^{number:02}$", "content": f"{number:02}"} for number in range(right)]
    text = SUITE.replace("REPLIES", json.dumps(rules)).replace("MODE", mode)
    Path("numbers/suite.yaml").write_text(text + extra)
    lines = [{"id": f"n{n:02}", "input": f"{n:02}", "expected": f"{n:02}"} for n in range(cases)]
    Path("numbers/cases.jsonl").write_text("\n".join(map(json.dumps, lines)))


def run(label: str, *options: str) -> None:
    assert said("run", "numbers", "--label", label, *options)[0] == 0


def commit() -> None:
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", "As it is")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the suite in its first commit, 18 of 20 right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTBENCH_DB", str(tmp_path / "store.db"))
    git("init", "-q", "-b", "main")
    Path("numbers").mkdir()
    Path(".gitignore").write_text("store.db*\nresults/*\n!results/baselines/\n")
    write(right=18)
    commit()
    return tmp_path


@pytest.fixture
def store(repository: Path) -> Iterator[Store]:
    with open_store() as store:
        yield store


def promoted(label: str, name: str = "main") -> str:
    """What is said when the run is promoted; empty when it is."""
    code, output = said("baseline", "promote", name, label)
    assert code in (0, 2)
    return output if code else ""


def test_a_committed_run_of_the_whole_suite_is_promoted(repository: Path) -> None:
    run("first", "--repeats", "2", "--concurrency", "4")
    assert promoted("first") == ""
    assert FILE.is_file()


def test_a_regression_does_not_become_the_standard(repository: Path) -> None:
    """Neither by the suite's gate, nor where the gate names no baseline, nor in a file of another place."""
    run("first")
    elsewhere = ("--dir", "kept")
    assert promoted("first") == ""
    assert said("baseline", "promote", "main", "first", *elsewhere)[0] == 0
    for extra in ("", "gate: {baseline: main}\n"):
        write(right=10, extra=extra)
        commit()
        run(f"worse{extra[:1]}")
        assert said("gate", f"worse{extra[:1]}", "--baseline", "main")[0] == 1
        assert "it fails its gate: worse than baseline main (one-sided p = 0.0039" in promoted(f"worse{extra[:1]}")
    code, output = said("baseline", "promote", "main", "worse", *elsewhere)
    assert (code, "it fails its gate: worse than baseline main" in output) == (2, True)
    before = FILE.read_text()
    assert said("baseline", "promote", "main", "worse", "--force")[0] == 0
    assert FILE.read_text() != before


def test_the_first_baseline_has_none_before_it(repository: Path) -> None:
    write(right=18, extra="gate: {baseline: main, min_pass_rate: 0.5}\n")
    commit()
    run("first")
    assert "there are: none" in said("gate", "first")[1]
    assert promoted("first") == ""
    assert promoted("first", "release") == "", "it is held against main, which is this run"


def test_a_strict_suite_has_to_pass_every_case(repository: Path) -> None:
    write(right=19, mode="strict")
    commit()
    run("almost")
    code, output = said("gate", "almost")
    assert (code, output.splitlines()[0]) == (1, "FAIL 1 of 20 cases did not pass")
    assert "it fails its gate: 1 of 20 cases did not pass" in promoted("almost")
    write(right=20, mode="strict")
    commit()
    run("all")
    assert promoted("all") == ""


def change_a_file() -> None:
    Path("numbers/cases.jsonl").write_text(Path("numbers/cases.jsonl").read_text() + "\n")


def untrack_the_suite() -> None:
    git("rm", "-q", "--cached", "-r", "numbers")
    git("commit", "-q", "-m", "Without the suite")


def ignore_the_suite() -> None:
    untrack_the_suite()
    Path(".gitignore").write_text(Path(".gitignore").read_text() + "numbers/\n")
    git("commit", "-q", "-a", "-m", "Ignored")


def add_a_module() -> None:
    Path("agent.py").write_text("def answer(case): return 'yes'\n")


def leave_the_repository() -> None:
    Path(".git").rename("elsewhere")


def begin_again() -> None:
    leave_the_repository()
    git("init", "-q", "-b", "main")


@pytest.mark.parametrize(
    ("before", "options", "why"),
    [
        (change_a_file, [], "it ran with changes that are not committed"),
        (untrack_the_suite, [], "it ran with files that are in no commit: numbers (add them, or name them in .gitig"),
        (ignore_the_suite, [], "it ran with files that are in no commit: numbers (add them, or"),
        (add_a_module, [], "it ran with files that are in no commit: agent.py (add them, or"),
        (leave_the_repository, [], "it ran outside of a git repository, or before its first commit"),
        (begin_again, [], "it ran outside of a git repository, or before its first commit"),
        (commit, ["--set", "agent.max_tokens=9"], "its configuration is not the suite's: agent.max_tokens came from"),
        (commit, ["--backend", "scripted"], "its configuration is not the suite's: backend came from outside"),
        (commit, ["--limit", "5"], "it is of 5 of the suite's 20 cases"),
    ],
)
def test_what_is_not_the_committed_suite_is_not_promoted(
    repository: Path, before: Callable[[], None], options: list[str], why: str
) -> None:
    before()
    run("strange", *options)
    found = promoted("strange")
    assert f"is not promoted: {why}" in found
    assert "\n" not in found
    assert not FILE.exists()
    assert said("baseline", "promote", "main", "strange", "--force")[0] == 0


def test_what_runs_write_themselves_is_no_change(repository: Path) -> None:
    """The store, results, compiled modules: of a repository that ignores nothing."""
    Path(".gitignore").unlink()
    commit()
    for folder in ("results/logs", "numbers/__pycache__"):
        Path(folder).mkdir(parents=True)
        (Path(folder) / "written").touch()
    run("first")
    assert promoted("first") == ""


def test_a_run_that_is_not_complete_is_no_baseline(repository: Path, store: Store) -> None:
    run("first")
    run_id = store.get_run("first").id
    store.set_status(run_id, "interrupted")
    assert "is not promoted: it is interrupted" in promoted("first")
    whole = store.get_run("first")
    facts = {**whole.environment, "suite_cases": 21}
    cut = replace(whole, id="numbers-cut", label="cut", case_ids=(*whole.case_ids, "n20"), environment=facts)
    store.create_run(cut)
    store.add_attempts("numbers-cut", list(store.attempts_with_cases(run_id)))
    for command in ("promote", "save"):
        code, output = said("baseline", command, "main", "cut")
        assert (code, "it has 20 of 21 attempts" in output) == (2, True)
    code, output = said("baseline", "save", "main", "cut", "--force")
    assert (code, output.endswith("a part: 20 of 21 cases\n")) == (0, True)
