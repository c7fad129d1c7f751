"""Several workers on one study: processes on this machine, or tasks that Ray places on a cluster."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentbench.core.errors import UserError
from agentbench.extras import needs
from agentbench.store.url import database_url
from tuners.study.file import Resources

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


RETRIES = 3
"""A worker that dies is started again so often, wherever there is room; what it was at is taken up again."""


def work_with_ray(study: str, db: str | None, count: int, resources: Resources, judged: bool) -> None:
    """Runs `count` workers of a study to its end; 0 is as many as there is room for now, at least one.

    Every worker needs the suite at the path it has here, and the database: more than one machine needs PostgreSQL.
    `UserError` with the first error of a worker.
    """
    url = database_url(db)
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(Path(url.database).resolve()))
    with _cluster() as ray:
        task = ray.remote(_work).options(
            num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=RETRIES, retry_exceptions=False
        )
        found = count or _room(ray.available_resources(), resources)
        asked = [
            task.remote(study, url.render_as_string(hide_password=False), os.getcwd(), judged) for _ in range(found)
        ]
        try:
            problems = [problem for problem in ray.get(asked) if problem]
        except ray.exceptions.RayError as error:
            raise UserError(f"a worker of Ray's failed: {str(error).strip().splitlines()[-1]}") from error
    if problems:
        raise UserError(problems[0])


def _work(study: str, db: str, directory: str, judged: bool) -> str:
    """One worker, in a process of Ray's; what was wrong, nothing when all went well."""
    from agentbench.core import guest
    from agentbench.store import open_store
    from tuners.report.progress import StudyProgress
    from tuners.study.study import find_study
    from tuners.tune import run_study

    if Path(directory).is_dir():
        os.chdir(directory)
    try:
        with open_store(db, create=False) as store:
            guest.run(run_study(find_study(study, store, {}), store, db, StudyProgress(study), judged=judged))
    except UserError as error:
        return str(error)
    return ""


def _room(available: dict[str, float], resources: Resources) -> int:
    shares = [
        available.get(name, 0.0) / wanted
        for name, wanted in (("CPU", resources.cpus), ("GPU", resources.gpus))
        if wanted
    ]
    return max(1, int(min(shares, default=1.0)))


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray's module, connected: to the cluster of RAY_ADDRESS, else to one of this machine for as long as it lasts."""
    import ray

    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()
