"""The pull-request flow of the docs, its commands read from them, in clones of a bare repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCS = Path(__file__).parents[2] / "docs"
FLOW = yaml.safe_load((DOCS / "ci/github-actions.yml").read_text())
SUITE = FLOW["env"]["SUITE"]
pytestmark = pytest.mark.slow

NETWORK = ("pip install", "agentbench pull")
"""What the steps do that is done here already."""

SUITE_FILE = """\
name: support
mode: gate
dataset: {name: jsonl}
scorers: [{name: includes, texts: [ok]}]
agent: {name: callable, target: "support_agent:answer"}
backend: scripted
"""
CASES = "".join(f'{{"id": "c{number:02}", "input": "Is it?"}}\n' for number in range(20))
AGENT = "def answer(case):\n    return 'no' if case.id in {wrong} else 'ok'\n"


class Repository:
    """A bare repository, and what GitHub and its users do with it; each job has a clone of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clones = 0
        tools = str(Path(sys.executable).parent)
        who = {f"GIT_{role}_{what}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        # No settings of this machine's.
        apart = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        self._environment = {**os.environ, **who, **apart, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        self._environment.pop("AGENTBENCH_DB", None)
        self.git("init", "-q", "--bare", "-b", "main", "bare", at=folder)

    def run(self, script: str, at: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**self._environment, "SUITE": SUITE, **variables}
        return subprocess.run(["bash", "-e", "-c", script], cwd=at, env=environment, capture_output=True, text=True)

    def git(self, *arguments: str, at: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=at or self.folder / "bare", env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def clone(self, branch: str = "main") -> Path:
        self._clones += 1
        path = self.folder / f"clone{self._clones}"
        self.git("clone", "-q", "bare", str(path), at=self.folder)
        self.git("checkout", "-q", "-B", branch, at=path)
        return path

    def branch(self, name: str, files: dict[str, str], script: str = "", **variables: str) -> Path:
        """A branch with a commit of these files, on top of main; `script` is run before the commit."""
        path = self.clone(name)
        for file, text in files.items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_text(text)
        if script:
            done = self.run(script, path, **variables)
            assert done.returncode == 0, done.stderr
        self.git("add", "-A", at=path)
        self.git("commit", "-q", "-m", name, at=path)
        self.git("push", "-q", "origin", name, at=path)
        return path

    def merge(self, name: str) -> None:
        path = self.clone()
        self.git("merge", "-q", "--no-ff", f"origin/{name}", at=path)
        self.git("push", "-q", "origin", "main", at=path)

    def happens(self, event: str, branch: str = "main", **variables: str) -> subprocess.CompletedProcess[str]:
        """The jobs of the workflow for this event, one after the other, until a step fails."""
        artifacts: dict[str, Path] = {}
        for job in FLOW["jobs"].values():
            if not wanted(job, event):
                continue
            path = self.clone(branch)
            self.git("reset", "-q", "--hard", f"origin/{branch}", at=path)
            for step in job["steps"]:
                if wanted(step, event) and (done := self.step(step, path, artifacts, variables)).returncode:
                    return done
        return done

    def step(
        self, step: dict[str, Any], path: Path, artifacts: dict[str, Path], variables: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        action, given = step.get("uses", ""), step.get("with", {})
        if "upload-artifact" in action:
            artifacts[given["name"]] = path / given["path"]
        if "download-artifact" in action:
            shutil.copytree(artifacts[given["name"]], path / given["path"], dirs_exist_ok=True)
        script = step.get("run", "")
        if any(each in script for each in NETWORK):
            script = ""
        return self.run(script, path, GITHUB_STEP_SUMMARY=str(self.folder / "summary.md"), **variables)

    def baseline(self, suite: str = "support") -> str:
        return self.git("show", f"main:results/baselines/{suite}/main.json")


def wanted(part: dict[str, Any], event: str) -> bool:
    condition = part.get("if", "")
    named = re.findall(r"github\.event_name == '(\w+)'", condition)
    assert bool(named) == bool(condition), f"a condition that this test does not know: {condition}"
    return not named or event in named


def shell_blocks() -> list[str]:
    """What docs/gate.md says to type, under the heading of pull requests."""
    section = (DOCS / "gate.md").read_text().partition("## Pull requests")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """The first commit of a user's: a suite, its agent (right on 19 of 20), the lines of .gitignore."""
    found = Repository(tmp_path)
    ignore, _ = shell_blocks()
    files = {f"{SUITE}/suite.yaml": SUITE_FILE, f"{SUITE}/cases.jsonl": CASES}
    path = found.branch("start", files | {"support_agent.py": AGENT.format(wrong={"c07"})}, ignore)
    found.git("push", "-q", "origin", "start:main", at=path)
    return found


def test_the_flow_from_the_first_push_to_a_promotion(repository: Repository) -> None:
    first = repository.happens("push")
    assert first.returncode == 0, first.stderr
    assert repository.git("log", "-1", "--format=%s", "main") == "Baseline of main\n"
    before = repository.baseline()

    repository.branch("first", {"README.md": "Support.\n"})
    passed = repository.happens("pull_request", "first")
    assert passed.returncode == 0, passed.stdout
    assert "## ✅ agentbench support: passed" in (repository.folder / "summary.md").read_text()

    broken = {f"c{number:02}" for number in range(12, 20)}
    repository.branch("regression", {"support_agent.py": AGENT.format(wrong={"c07", *broken})})
    stopped = repository.happens("pull_request", "regression")
    assert stopped.returncode == 1
    assert "FAIL worse than baseline main (one-sided p = 0.0039" in stopped.stdout

    repository.branch("fix", {"support_agent.py": AGENT.format(wrong=set())})
    passed = repository.happens("pull_request", "fix")
    assert passed.returncode == 0, passed.stdout
    repository.merge("fix")
    promoted = repository.happens("push")
    assert promoted.returncode == 0, promoted.stderr
    changed = repository.git("show", "--format=", "--unified=0", "main").splitlines()
    added = [line for line in changed if re.match(r"\+ ", line)]
    removed = [line for line in changed if re.match(r"- ", line)]
    assert [line.split()[1] for line in added] == ['"run":', '"c07":']
    assert (len(removed), repository.baseline() != before) == (2, True)


def test_what_is_merged_all_the_same_does_not_become_the_standard(repository: Repository) -> None:
    repository.happens("push")
    before = repository.baseline()
    repository.branch("regression", {"support_agent.py": AGENT.format(wrong={f"c{n:02}" for n in range(9)})})
    repository.merge("regression")
    refused = repository.happens("push")
    assert refused.returncode == 2
    assert "is not promoted: it fails its gate: worse than baseline main" in refused.stderr
    assert repository.baseline() == before


def test_before_the_first_push_a_pull_request_says_what_is_missing(repository: Repository) -> None:
    """And one that adds a suite brings its baseline along, by the commands of the docs."""
    repository.branch("early", {"README.md": "Support.\n"})
    stopped = repository.happens("pull_request", "early")
    assert stopped.returncode == 1
    assert "no baseline 'main' of suite 'support'; there are: none. Make one" in stopped.stdout

    _, commands = shell_blocks()
    files = {
        "suites/billing/suite.yaml": SUITE_FILE.replace("name: support", "name: billing"),
        "suites/billing/cases.jsonl": CASES,
    }
    repository.branch("billing", files, commands, SUITE="suites/billing")
    passed = repository.happens("pull_request", "billing", SUITE="suites/billing")
    assert passed.returncode == 0, passed.stdout
