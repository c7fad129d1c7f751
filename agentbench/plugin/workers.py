"""Coordination of pytest-xdist workers through a shared directory: which worker does which work, and which runs exist.

Work that a session needs once is claimed by one worker, and the others read its results. In the controller, the items
of a dead worker are handed to another one.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Generator
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import IO, Any

import pytest

from agentbench.plugin.stash import HANDED_OUT_AGAIN

POLL_S = 0.1
"""How often a worker checks another one's progress."""

STOP = "stop"


class SessionLock:
    """A lock on work that one worker of the session does, and the facts that it publishes, in files in the session's
    directory.

    The worker that claims the work holds the lock until it ends. The system releases the lock of a dead worker, and
    another one continues. Published facts remain.
    """

    def __init__(self, directory: Path, key: str) -> None:
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self._lock = directory / f"{name}.lock"
        self._facts = directory / f"{name}.json"
        self._stop = directory / STOP
        self.in_flight = directory / f"{name}.flight"
        self._held: IO[str] | None = None

    def acquire(self) -> bool:
        """Try to claim the work: at most one process has it at a time, and none after the session stops."""
        if self._held is not None:
            return True
        if self.stopped():
            return False
        file = self._lock.open("w")
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except OSError:
            file.close()
            return False
        self._held = file
        return True

    def published(self) -> dict[str, Any]:
        """The facts published so far."""
        try:
            found: dict[str, Any] = json.loads(self._facts.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def publish(self, **facts: Any) -> None:
        """Publish facts (JSON values) for the others; only the process that has the work may do so."""
        draft = self._facts.with_suffix(".draft")
        draft.write_text(json.dumps({**self.published(), **facts}), encoding="utf-8")
        draft.replace(self._facts)

    def stopped(self) -> bool:
        """Whether the session ends early (-x, Ctrl-C), so that nobody needs the work any more."""
        return self._stop.exists()

    def release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def runs_of(directory: Path) -> list[str]:
    """The ids of the runs that the session's workers published."""
    published = [json.loads(file.read_text(encoding="utf-8")) for file in directory.glob("*.json")]
    return sorted(facts["run"] for facts in published if "run" in facts)


def stop(directory: Path) -> None:
    """Tell the workers that the session ends."""
    (directory / STOP).touch()


SHARED = pytest.StashKey[Path]()
INPUT = "agentbench"


def share_directory(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """Give a worker that is about to start the path of the session's directory."""
    if SHARED not in config.stash:
        config.stash[SHARED] = Path(tempfile.mkdtemp(prefix="agentbench-"))
    workerinput[INPUT] = str(config.stash[SHARED])


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def shared_directory(config: pytest.Config) -> Path | None:
    """The session's directory in a worker, None in any other process."""
    found = getattr(config, "workerinput", {}).get(INPUT)
    return Path(found) if found else None


def stop_workers(config: pytest.Config) -> list[str]:
    """In the controller, at the session's end: makes workers end their runs, and returns the runs' ids."""
    directory = config.stash.get(SHARED, None)
    if directory is None:
        return []
    stop(directory)
    return runs_of(directory)


def forget(config: pytest.Config) -> None:
    """Remove the directory after the workers have ended."""
    if SHARED in config.stash:
        shutil.rmtree(config.stash[SHARED], ignore_errors=True)


def _of_suite(nodeid: str) -> bool:
    return nodeid.partition("::")[0].endswith((".yaml", ".yml"))


class HandedOut:
    """Hands an item of a dead worker to another worker.

    The item itself did not end the worker: one of the attempts in flight did. The item fails when no worker is left. A
    worker can die between an item's result and its message that the item is done. pytest-xdist may then hand the item
    out again, and its result counts once.
    """

    NAME = "agentbench_handed_out"

    def __init__(self) -> None:
        self._open: dict[str, pytest.TestReport] = {}
        self._results: set[str] = set()
        self._come_again: set[str] = set()

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        if not _of_suite(crashitem):
            return
        vars(report)["outcome"] = HANDED_OUT_AGAIN
        if crashitem in self._results:
            self._come_again.add(crashitem)
            return
        # Schedulers by file or scope can't return a single item; they hand out all items of a dead worker again.
        with suppress(NotImplementedError):
            sched.mark_test_pending(crashitem)
        self._open[crashitem] = report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == HANDED_OUT_AGAIN:
            return
        self._open.pop(report.nodeid, None)
        if report.when == "call" and _of_suite(report.nodeid):
            if report.nodeid in self._come_again:
                vars(report)["outcome"] = HANDED_OUT_AGAIN
            self._results.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        result = yield
        for report in list(self._open.values()):
            report.outcome = "failed"
            report.longrepr = f"{report.longrepr}, and no other worker continued it"
            session.config.hook.pytest_runtest_logreport(report=report)
        return result
