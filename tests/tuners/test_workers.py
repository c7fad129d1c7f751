"""Several workers on one study, as processes, and the continuation after one is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from agentbench.core.errors import UserError
from agentbench.store import Store, open_store
from tuners.workers import Team, parse_team

StudyWriter = Callable[..., Path]
ROOT = Path(__file__).parents[2]
STUDY = """
name: shared
split: {test: 20, seed: 1}
baseline: {serving.delay_s: 0.02}
budget: {trials: 10}
rungs: {sizes: [4, 8], opening: 3, together: 2}
replay: {attempts: 8, rounds: 2}
resources: {cpus: 0.5}
space:
  serving.word: [never, even, odd]
  serving.other: [0, 1, 2, 3, 4, 5, 6]
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    return str(request.getfixturevalue("postgresql_database"))


@contextmanager
def worker(directory: Path, db: str, *arguments: str | Path) -> Iterator["subprocess.Popen[str]"]:
    path = os.pathsep.join(map(str, (ROOT, Path(__file__).parent / "stub_plugin")))
    process = subprocess.Popen(
        [sys.executable, "-m", "agentbench", "tune", *map(str, arguments)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, "AGENTBENCH_DB": db},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def finished(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def found(db: str) -> dict[str, Any]:
    with open_store(db, create=False) as store:
        return summary(store)


def summary(store: Store) -> dict[str, Any]:
    record = store.studies.get("shared")
    candidates = store.studies.candidates("shared")
    runs = store.studies.runs("shared", "search")
    answers = [(run.answers, *key) for run in runs for key in store.stored_keys(run.run_id)]
    return {
        "status": record.status,
        "word": record.verdict and record.verdict["settings"]["serving.word"],
        "candidates": [(each.number, each.end) for each in candidates],
        "runs": [each.result.get("case_runs") for each in candidates],
        "workers": len({each.worker for each in candidates}),
        "case_runs": len(answers),
        "twice": len(answers) - len(set(answers)),
    }


@pytest.mark.slow
def test_two_workers_share_a_study(tmp_path: Path, study: StudyWriter, db: str) -> None:
    with worker(tmp_path, db, study(STUDY), "--workers", "2") as process:
        assert "Held-out test  100.0 %" in finished(process)
    after = found(db)
    assert after["status"] == "finished"
    assert after["word"] == "even"
    assert after["workers"] == 2
    assert len(after["candidates"]) == 10
    assert after["twice"] == 0
    assert all(end is not None for _, end in after["candidates"])


@pytest.mark.slow
def test_ray_places_two_workers(tmp_path: Path, study: StudyWriter) -> None:
    pytest.importorskip("ray")
    db = str(tmp_path / "store.db")
    with worker(tmp_path, db, study(STUDY), "--workers", "ray:2") as process:
        assert "Held-out test  100.0 %" in finished(process)
    after = found(db)
    assert (after["status"], after["workers"], after["twice"]) == ("finished", 2, 0)


@pytest.mark.slow
def test_a_killed_study_has_the_same_results_and_cost(tmp_path: Path, study: StudyWriter) -> None:
    uninterrupted, killed = str(tmp_path / "uninterrupted.db"), str(tmp_path / "killed.db")
    path = study(STUDY)
    with worker(tmp_path, uninterrupted, path) as process:
        finished(process)
    for ended in (0, 5):
        arguments = ("--resume", "shared") if ended else (path,)
        with worker(tmp_path, killed, *arguments) as process:
            wait_for(killed, ended + 1)
            process.send_signal(signal.SIGKILL)
            process.wait()
    with worker(tmp_path, killed, "--resume", "shared") as process:
        finished(process)
    expected, after = found(uninterrupted), found(killed)
    assert after.pop("workers") > expected.pop("workers")
    assert after == expected
    assert after["twice"] == 0


def wait_for(db: str, ended: int) -> None:
    """Waits until this many candidates have ended."""
    deadline = monotonic() + 60
    while monotonic() < deadline:
        sleep(0.05)
        try:
            done = [end for _, end in found(db)["candidates"] if end is not None]
        except UserError:  # not there yet
            continue
        if len(done) >= ended:
            return
    raise AssertionError(f"{ended} candidates have not ended after 60 s")


def test_a_team_is_a_number_or_ray_with_one() -> None:
    assert parse_team("3") == Team(count=3)
    assert parse_team("ray") == Team(count=0, ray=True)
    assert parse_team("ray:2") == Team(count=2, ray=True)
    for text in ("0", "two", "ray:0", "ray:", "-1", "raytwo", ""):
        with pytest.raises(UserError, match="--workers"):
            parse_team(text)
