"""A run that several workers share: made once, taken over from a worker that died, its end told to all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.plugin.loop_thread import LoopThread
from agentbench.plugin.shared_run import SharedRun
from agentbench.plugin.workers import SessionLock, runs_of
from agentbench.run.experiment import Experiment, plan
from agentbench.store import Store, open_store
from agentbench.suite.suite import Suite, load_suite

SUITE = """\
name: numbers
dataset: {name: jsonl}
scorers: [exact]
agent: chat
backend: {name: scripted, default: "1"}
run: {repeats: 2}
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "store.db")) as store:
        yield store


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "cases.jsonl").write_text('{"id": "a", "input": "?", "expected": "1"}\n')
    return load_suite(tmp_path)


def worker(folder: Path, suite: Suite, store: Store, loop: LoopThread) -> SharedRun:
    """A worker's view of the run; each has files of its own on the same directory."""

    def start(begun: str | None) -> Experiment:
        return Experiment(run=store.get_run(begun), suite=suite) if begun else plan(suite, store)

    return SharedRun(SessionLock(folder, "numbers"), start, store, loop)


def test_one_worker_makes_the_run_and_the_other_finds_it(
    tmp_path: Path, suite: Suite, store: Store, loop: LoopThread
) -> None:
    first, second = worker(tmp_path, suite, store, loop), worker(tmp_path, suite, store, loop)
    assert [attempt.passed for attempt in first.attempts(suite.cases[0])] == [True, True]
    second.complete(frozenset({"a"}))
    assert [attempt.repeat for attempt in second.attempts(suite.cases[0])] == [0, 1]
    assert first.run_id == second.run_id
    assert runs_of(tmp_path) == [first.run_id]
    assert len(store.list_runs()) == 1
    first.close()


def test_a_run_whose_worker_died_is_taken_over(tmp_path: Path, suite: Suite, store: Store, loop: LoopThread) -> None:
    died = SessionLock(tmp_path, "numbers")
    assert died.acquire()
    died.publish(run=plan(suite, store).run.id)
    assert not SessionLock(tmp_path, "numbers").acquire()
    died.release()  # as the system does for a process that ended
    other = worker(tmp_path, suite, store, loop)
    assert len(other.attempts(suite.cases[0])) == 2
    assert len(store.list_runs()) == 1
    other.close()


def test_why_a_run_ended_is_told_to_all_workers(tmp_path: Path, suite: Suite, store: Store, loop: LoopThread) -> None:
    def broken(begun: str | None) -> Experiment:
        raise UserError("the server did not start")

    first = SharedRun(SessionLock(tmp_path, "numbers"), broken, store, loop)
    for run in (first, worker(tmp_path, suite, store, loop), first):
        with pytest.raises(UserError, match="the server did not start"):
            run.attempts(suite.cases[0])
    first.close()
