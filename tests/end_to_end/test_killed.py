"""kill -9 of a run at random moments: nothing stored is lost or run again, and no server stays behind."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentbench.store import open_store
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.processes import running, wait_until

pytestmark = [pytest.mark.model, pytest.mark.slow]

KILLS = 6
CASES = 24


def test_a_run_killed_again_and_again_ends_whole(
    model: Path, tmp_path: Path, environment: Callable[[], dict[str, str]]
) -> None:
    settings = [f"serving.model={model}", "serving.max_model_len=1024", "agent.max_tokens=16"]
    first = ["suites/bfcl_simple", "--limit", str(CASES), "--concurrency", "2"]
    first += [part for setting in settings for part in ("--set", setting)]
    chance = random.Random(20)
    stored: dict[tuple[str, int], int] = {}
    for kill in range(KILLS):
        run = start(first if kill == 0 else ["--resume", "latest"], environment())
        if kill == 0:
            assert wait_until(lambda: bool(attempts(tmp_path)), 60)
            assert running(str(model))
        else:
            time.sleep(chance.uniform(0.3, 5.0))
        run.kill()
        run.wait()
        assert wait_until(lambda: not running(str(model)), 10), "a server was left behind"
        found = attempts(tmp_path)
        assert found.items() >= stored.items(), "an attempt that was stored is lost or was run again"
        stored = found
    last = start(["--resume", "latest"], environment())
    assert last.wait(300) == 0
    found = attempts(tmp_path)
    assert found.items() >= stored.items()
    assert len(found) == CASES
    assert wait_until(lambda: not running(str(model)), 10)
    with open_store(str(tmp_path / "store.db")) as store:
        assert store.get_run("latest").status == "finished"


def start(arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "agentbench", "run", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def attempts(folder: Path) -> dict[tuple[str, int], int]:
    """When each stored attempt was started, in nanoseconds of the wall clock."""
    if not (folder / "store.db").exists():
        return {}
    with open_store(str(folder / "store.db")) as store:
        if not store.list_runs():
            return {}
        run = store.get_run("latest")
        return {(each.case_id, each.repeat): each.wall_anchor_ns + each.started_at for each in store.attempts(run.id)}
