"""What is said of installing: the distribution's name, and what CI files install and may do."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentbench.extras import DISTRIBUTION

ROOT = Path(__file__).parents[1]
TEXTS = (".py", ".md", ".yml", ".yaml", ".txt", ".html")
OWN_FLOW = ROOT / ".github" / "workflows" / "ci.yml"
FLOWS = sorted((ROOT / "docs" / "ci").iterdir())


def texts() -> Iterator[Path]:
    yield ROOT / "README.md"
    yield ROOT / "Makefile"
    for folder in ("agentbench", "serving", "tuners", "docs"):
        yield from (file for file in (ROOT / folder).rglob("*") if file.suffix in TEXTS)


def test_the_distribution_has_the_name_of_pyproject() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"] == DISTRIBUTION


def test_nothing_says_to_install_a_stranger_s_package() -> None:
    """The distribution called agentbench is someone else's."""
    wrong = re.compile(r"pip install (-\S+ )*['\"]?agentbench(?![\w-])")
    assert [str(file) for file in texts() if wrong.search(file.read_text(encoding="utf-8"))] == []


def test_every_file_beside_the_modules_is_in_the_wheel() -> None:
    """Templates, styles, kernels' sources: those of each package that its `package-data` names."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in ("agentbench", "serving", "tuners"):
        folder = ROOT / package
        inside = {found for pattern in named[package] for found in folder.glob(pattern)}
        files = {file for file in folder.rglob("*") if file.is_file() and file.suffix != ".py"}
        assert {file for file in files - inside if "__pycache__" not in file.parts} == set()


@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.name)
def test_a_ci_file_pins_what_it_runs(file: Path) -> None:
    for job in jobs(file):
        for step in job["steps"]:
            assert re.search(r"@[0-9a-f]{40}$", step.get("uses", "@" + "0" * 40)), step
            if "pip install" in step.get("run", ""):
                assert re.search(r"pip install [^\n]*-r requirements", step["run"]), step


@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.name)
def test_a_job_that_may_write_runs_git_alone(file: Path) -> None:
    writing = [job for job in jobs(file) if job.get("permissions")]
    commands = [line for job in writing for step in job["steps"] for line in step.get("run", "").splitlines()]
    assert {command.split()[0] for command in commands} == {"git"}


@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.name)
def test_a_ci_file_runs_the_suite_of_the_repository_that_it_is_copied_to(file: Path) -> None:
    bundled = {folder.name for folder in (ROOT / "suites").iterdir()}
    assert bundled.isdisjoint(re.findall(r"suites/(\w+)", file.read_text(encoding="utf-8")))


def test_our_own_flow_runs_what_ci_runs_and_is_pinned() -> None:
    steps = [step for job in jobs(OWN_FLOW) for step in job["steps"]]
    assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in steps if "uses" in step)
    assert "secrets." not in OWN_FLOW.read_text(encoding="utf-8")
    run = [step["run"].partition(" SET=")[0] for step in steps if "run" in step]
    wanted = re.findall(r"^make \w+", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(wanted) <= set(run)


def jobs(file: Path) -> list[dict[str, Any]]:
    flow = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert flow["permissions"] == {"contents": "read"}
    return list(flow["jobs"].values())
