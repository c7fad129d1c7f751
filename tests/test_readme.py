"""The README's examples: its suite and its agent run, and its command lines parse."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from agentbench.cli.app import app

README = (Path(__file__).parents[1] / "README.md").read_text()

pytest_plugins = ["pytester"]


def block(language: str) -> str:
    """The first fenced block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def command_lines() -> list[str]:
    """Every indented line that starts with the command, without its comment."""
    return [line.split("  #")[0].strip() for line in README.splitlines() if line.startswith("    agentbench ")]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = pytester.path / "suites" / "capitals"
    folder.mkdir(parents=True)
    (folder / "suite.yaml").write_text(block("yaml"))
    (folder / "cases.jsonl").write_text(block("json"))
    (pytester.path / "my_agent.py").write_text(block("python"))
    monkeypatch.setenv("AGENTBENCH_DB", str(pytester.path / "store.db"))
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    return folder


@pytest.mark.parametrize("agent", ["chat", "callable"])
def test_the_suite_and_the_agent_run(pytester: pytest.Pytester, suite: Path, agent: str) -> None:
    own = ["--agentbench-set=agent=callable", "--agentbench-set=agent.target=my_agent:answer"]
    scripted = ["--agentbench-backend=scripted", "--agentbench-set=backend.default=It is Paris."]
    result = pytester.runpytest_subprocess("suites/capitals", *scripted, *(own if agent == "callable" else []))
    result.assert_outcomes(passed=1)


def test_there_are_command_lines() -> None:
    assert len(command_lines()) >= 8


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_parses(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    group: Any = typer.main.get_command(app)
    group.commands[name].make_context(name, arguments)


def test_the_documented_make_targets_exist() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
