"""Several workers on one study: processes of this machine, or tasks that Ray places on its cluster."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentbench.core.errors import UserError
from agentbench.store.url import database_url
from tuners.installed import needs

LOGS = Path("results") / "logs"
STOP_S = 30.0
"""A worker that is asked to stop has so long to stop its server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """How many workers a study has, and whether Ray places them."""

    count: int
    ray: bool = False


def parse_team(text: str) -> Team:
    """`2`, `ray` (as many as the cluster has room for, at least one) or `ray:2`; `UserError` where Ray is not there."""
    if text.startswith("ray"):
        needs("ray", "--workers ray", "ray")
    name, separator, count = text.partition(":") if text.startswith("ray") else ("", "", text)
    if name == "ray" and not separator:
        return Team(count=0, ray=True)
    if name not in ("", "ray") or not count.isdigit() or int(count) < 1:
        raise UserError(f"--workers {text!r}: expected a number from 1, ray, or ray:NUMBER")
    return Team(count=int(count), ray=name == "ray")


@contextmanager
def helped(study: str, db: str | None, others: int, judged: bool) -> Iterator[None]:
    """So many other workers of this machine; left when they have ended, stopped when we are."""
    workers = [_started(study, db, number + 2, judged) for number in range(others)]
    try:
        yield
        for worker in workers:
            worker.wait()
    finally:
        for worker in workers:
            _stop(worker)


def _started(study: str, db: str | None, number: int, judged: bool) -> "subprocess.Popen[bytes]":
    """A worker with a log of its own. The database is told by its environment: its URL may have a password."""
    LOGS.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "agentbench", "tune", "--resume", study, "--json"]
    command += [] if judged else ["--search-only"]
    url = database_url(db).render_as_string(hide_password=False)
    with (LOGS / f"study-{study}.worker-{number}.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, "AGENTBENCH_DB": url},
        )


def _stop(worker: "subprocess.Popen[bytes]") -> None:
    if worker.poll() is not None:
        return
    worker.send_signal(signal.SIGINT)
    try:
        worker.wait(STOP_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
