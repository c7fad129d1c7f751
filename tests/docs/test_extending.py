"""The walkthroughs of docs/extending: what a reader copies from a page works as the page says."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, register


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cases.jsonl").write_text('{"id": "one", "input": "What is it?", "expected": "Paris"}\n')
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder), "AGENTBENCH_DB": str(folder / "store.db")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def contract_of(folder: Path, page: str, **replaced: str) -> str:
    """What pytest prints of the page's contract."""
    text = blocks(page, "python")[1]
    for old, new in replaced.items():
        text = text.replace(old, new)
    (folder / "test_contract.py").write_text(text)
    ended = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_contract.py")
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def walk(folder: Path, page: str, module: str, **replaced: str) -> str:
    """Saves the page's files, runs its suite, and returns what `show` says of the case."""
    register(folder, page)
    (folder / module).write_text(blocks(page, "python")[0])
    [suite] = blocks(page, "yaml")
    for old, new in replaced.items():
        suite = suite.replace(old, new)
    (folder / "suite.yaml").write_text(suite)
    ended = run(folder, "-m", "agentbench", "run", ".")
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return run(folder, "-m", "agentbench", "show", "latest", "--case", "one").stdout


def test_a_scorer(folder: Path) -> None:
    shown = walk(folder, "extending/scorer.md", "my_scorers.py")
    assert "one  wrong" in shown
    assert "4 words" in shown
    assert "14 passed" in contract_of(folder, "extending/scorer.md")


def test_an_agent(folder: Path) -> None:
    shown = walk(folder, "extending/agent.md", "my_agents.py")
    assert "one  right" in shown
    assert shown.count("\nassistant\n") >= 3


def test_a_server(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shutil.copy(ROOT / "tests" / "docs" / "tiny_server.py", folder)
    (folder / "cases.jsonl").write_text('{"id": "one", "input": "Hi", "expected": "hello"}\n')
    shown = walk(folder, "extending/server.md", "my_servers.py", PORT=port, python=sys.executable)
    assert "one  right" in shown
    assert "3 passed" in contract_of(folder, "extending/server.md", PORT=port)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_a_knob(folder: Path) -> None:
    shutil.copytree(ROOT / "serving", folder / "serving", ignore=shutil.ignore_patterns("__pycache__"))
    [diff] = blocks("extending/knob.md", "diff")
    patched = subprocess.run(["git", "apply", "-"], cwd=folder, input=diff, capture_output=True, text=True, check=False)
    assert patched.returncode == 0, patched.stdout + patched.stderr
    (folder / "test_knob.py").write_text(blocks("extending/knob.md", "python")[0])
    tested = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:agentbench", "test_knob.py")
    assert tested.returncode == 0, tested.stdout
    assert "--max-admissions N" in run(folder, "-m", "serving", "--help").stdout
    refused = run(folder, "-m", "serving", "--model", "x.gguf", "--set", "max_admissions=0")
    assert refused.returncode == 2
    assert "max_admissions=0" in refused.stderr
