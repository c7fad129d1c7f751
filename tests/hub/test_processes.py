"""Several processes that pull, and one that is killed while it does."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentbench.hub import Artifact, cached, pull, resolve_model
from tests.hub.test_pull import PARTS

ROOT = Path(__file__).parents[2]
WHOLE = b"".join(PARTS)


def pulling(tiny: Artifact, killed_at: str = "never") -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.hub.pulling", tiny.sha256, killed_at]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize("stage", ["fetching", "verifying"])
def test_a_pull_killed_at_any_stage_is_not_taken_as_pulled(stage: str, tiny: Artifact) -> None:
    killed = pulling(tiny, killed_at=stage)
    out, err = killed.communicate(timeout=60)
    assert (killed.returncode, out.split()[-1]) == (-signal.SIGKILL, stage), err
    assert not cached()[0].pulled
    assert pull("tiny-model").read_bytes() == WHOLE


def test_of_pulls_at_once_one_fetches_and_all_find_it(tiny: Artifact, tmp_path: Path) -> None:
    pulls = [pulling(tiny) for _ in range(3)]
    ended = [each.communicate(timeout=120) for each in pulls]
    assert [each.returncode for each in pulls] == [0, 0, 0], ended
    assert sum("verifying" in out for out, _ in ended) == 1
    assert resolve_model("tiny-model").read_bytes() == WHOLE
    assert not list((tmp_path / "cache").rglob(".pull-*"))
