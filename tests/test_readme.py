"""The README's examples: its suite and its agent run, and its command lines parse."""

import os
import re
import shlex
import subprocess
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


def demo_commands(*variables: str) -> list[list[str]]:
    """The words of each agentbench command that `make demo` would run."""
    root = Path(__file__).parents[1]
    environment = {name: os.environ[name] for name in os.environ if not name.startswith(("MAKE", "MODEL"))}
    command = ["make", "--dry-run", "demo", *variables]
    printed = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout
    lines = printed.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if "/agentbench " in line]


@pytest.mark.parametrize(
    ("variables", "models"),
    [
        ([], ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"]),
        (
            ["MODEL=qwen2.5-coder-1.5b-instruct"],
            ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"],
        ),
        (["MODEL=smollm2-135m-instruct"], ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"]),
    ],
)
def test_the_demo_runs_each_model_free_and_constrained_and_compares_those_runs(
    variables: list[str], models: list[str]
) -> None:
    group: Any = typer.main.get_command(app)
    pull, *runs, compare = [
        (name, group.commands[name].make_context(name, arguments).params)
        for name, *arguments in demo_commands(*variables)
    ]
    assert (pull[0], compare[0], {name for name, _ in runs}) == ("pull", "compare", {"run"})
    assert list(pull[1]["names"]) == [*models, "bfcl"]
    settings = [dict(each.split("=") for each in options["settings"]) for _, options in runs]
    chosen = [(each["serving.model"], each["agent.output"]) for each in settings]
    assert chosen == [(model, output) for model in models for output in ("free", "json_schema")]
    assert list(compare[1]["runs"]) == [options["label"] for _, options in runs]
    assert f"`{compare[1]['html']}`" in README
