"""`agentbench init`: what it writes passes at once, and fails when the agent is broken."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from agentbench.cli.setup import init_command
from agentbench.core.errors import UserError

pytest_plugins = ["pytester"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    found = (file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts)
    return {file.relative_to(folder).as_posix(): file.read_text() for file in found}


def test_pytest_passes_until_the_agent_is_broken(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTBENCH_DB", raising=False)
    init_command("support", pytester.path)
    passing = pytester.runpytest_subprocess()
    assert passing.parseoutcomes() == {"passed": 6}
    agent = pytester.path / "suites/support/agent.py"
    agent.write_text(agent.read_text().replace("return call.text", "return call.text[:9]"))
    result = pytester.runpytest_subprocess()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED suites/support/suite.yaml::gate - FAIL pass rate *"])


def test_the_files_belong_together(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_command("help-desk", repository)
    found = contents(repository)
    assert sorted(found) == [
        ".github/workflows/agents.yml",
        ".gitignore",
        "requirements-agents.txt",
        "suites/help-desk/agent.py",
        "suites/help-desk/cases.jsonl",
        "suites/help-desk/suite.yaml",
        "tests/test_help_desk_agent.py",
    ]
    assert "NAME" not in "".join(found.values())
    workflow = yaml.safe_load(found[".github/workflows/agents.yml"])
    assert workflow["env"] == {
        "SUITE": "suites/help-desk",
        "BASELINE": "results/baselines/help-desk/main.json",
    }
    assert workflow["permissions"] == {"contents": "read"}
    assert [job["permissions"] for job in workflow["jobs"].values() if "permissions" in job] == [{"contents": "write"}]
    assert "pip" not in json.dumps(workflow["jobs"]["promote"])
    actions = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert all(len(action.partition("@")[2]) == 40 for action in actions), "each is pinned to a commit"
    assert "Next: pytest suites/help-desk tests/test_help_desk_agent.py" in capsys.readouterr().out
    ignored = subprocess.run(
        [
            "git",
            "-C",
            str(repository),
            "check-ignore",
            "results/agentbench.db",
            "results/baselines/help-desk/main.json",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ignored.stdout.split() == ["results/agentbench.db"]


@pytest.mark.parametrize("there", [False, True])
def test_the_workflow_compares_once_there_is_a_baseline(repository: Path, there: bool) -> None:
    init_command("support", repository)
    workflow = yaml.safe_load((repository / ".github/workflows/agents.yml").read_text())
    [script] = [step["run"] for step in workflow["jobs"]["gate"]["steps"] if "pytest" in step.get("run", "")]
    if there:
        baseline = repository / "results/baselines/support/main.json"
        baseline.parent.mkdir(parents=True)
        baseline.touch()
    done = subprocess.run(
        ["bash", "-e", "-c", f"pytest() {{ echo pytest $@; }}\n{script}"],
        cwd=repository,
        env={**workflow["env"], "GITHUB_STEP_SUMMARY": "sum.md"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("pytest suites/support tests/test_support_agent.py ")
    assert ("--agentbench-baseline main" in done.stdout) is there


def test_what_is_there_is_kept(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / ".gitignore").write_text("results/\n*.pyc")
    (repository / "requirements-agents.txt").write_text("my-agent\n")
    init_command("support", repository)
    assert (repository / ".gitignore").read_text() == "results/\n*.pyc\nresults/*\n!results/baselines/\n"
    assert (repository / "requirements-agents.txt").read_text() == "my-agent\n"
    assert "remove the line of .gitignore" in capsys.readouterr().out
    before = contents(repository)
    with pytest.raises(UserError, match=r"there already: suites/support/suite.yaml, .* Nothing was written"):
        init_command("support", repository)
    init_command("billing", repository)
    assert {name: text for name, text in contents(repository).items() if "billing" not in name} == before


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "1a", "a/b"])
def test_a_name_that_makes_no_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="suite name"):
        init_command(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
