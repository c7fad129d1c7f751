"""Fixtures: a suite with known answers, a stub server, a study and a store."""

import json
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.store import Store, open_store
from agentbench.suite import registry
from tests.tuners.stub_server import StubServer

CASES = 40


def register_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = registry._registered
    entry = EntryPoint("stub", "tests.tuners.stub_server:StubServer", "agentbench.servers")

    def with_stub(kind: registry.Kind) -> dict[str, EntryPoint]:
        return {**registered(kind), "stub": entry} if kind == "servers" else registered(kind)

    monkeypatch.setattr(registry, "_registered", with_stub)


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> type[StubServer]:
    """Registers the stub server, and resets its counts."""
    register_stub(monkeypatch)
    StubServer.started = StubServer.running = StubServer.most_at_once = StubServer.resets = 0
    StubServer.requests = []
    StubServer.proposals = ["Answer."]
    return StubServer


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite with questions `even N` and `odd N`; the right answer is yes to even ones, no to odd ones."""
    return write_suite(tmp_path / "toy")


def write_suite(root: Path) -> Path:
    root.mkdir()
    (root / "suite.yaml").write_text(
        "name: toy\ndataset: {name: jsonl, path: cases.jsonl}\nscorers: [exact]\nagent: chat\n"
        "serving: {server: stub, word: never}\nrun: {concurrency: 4, backoff_s: 0}\n"
    )
    lines = [
        {"id": f"c{i:02}", "input": f"{'odd' if i % 2 else 'even'} {i}", "expected": "no" if i % 2 else "yes"}
        for i in range(CASES)
    ]
    (root / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


STUDY = """
name: toy
split: {test: 20, seed: 1}
budget: {trials: 5}
rungs: {sizes: [4, 8], opening: 2}
replay: {attempts: 8, rounds: 2}
space:
  serving.word: [never, even, odd]
  serving.knob: [1, 2]
"""


@pytest.fixture(scope="module")
def tuned_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the suite `toy`, its study, and the study's store `a.db`; it is built once for the
    tests of a file, and a test that writes takes a copy."""
    root = tmp_path_factory.mktemp("tuned")
    (write_suite(root / "toy") / "study.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        register_stub(patch)
        patch.chdir(root)
        arguments = ["tune", str(root / "toy" / "study.yaml"), "--db", str(root / "a.db")]
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return root


@pytest.fixture
def study(suite: Path) -> Callable[[str], Path]:
    """Writes a study.yaml beside the suite."""

    def write(text: str = STUDY) -> Path:
        path = suite / "study.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)
    with open_store(str(tmp_path / "store.db")) as found:
        yield found
