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
"""Seconds that an interrupted worker has to stop its server, before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """How many workers a study has, and whether Ray places them; a count of 0 is as many as Ray has room for."""

    count: int
    ray: bool = False


def parse_team(text: str) -> Team:
    """The team for `2`, `ray` (as many as the cluster has room for, at least one) or `ray:2`.

    `UserError` for any other text, and for `ray` when Ray is not installed.
    """
    if text.startswith("ray"):
        needs("ray", "--workers ray", "ray")
    name, separator, count = text.partition(":") if text.startswith("ray") else ("", "", text)
    if name == "ray" and not separator:
        return Team(count=0, ray=True)
    if name not in ("", "ray") or not count.isdigit() or int(count) < 1:
        raise UserError(f"--workers {text!r}: expected a number from 1, ray, or ray:NUMBER")
    return Team(count=int(count), ray=name == "ray")


@contextmanager
def extra_workers(study: str, db: str | None, count: int, judged: bool) -> Iterator[None]:
    """Starts `count` more workers on this machine, and waits at the end of its block until they have ended.

    An error in the block stops them.
    """
    workers = [_start_worker(study, db, number + 2, judged) for number in range(count)]
    try:
        yield
        for worker in workers:
            worker.wait()
    finally:
        for worker in workers:
            _stop(worker)


def _start_worker(study: str, db: str | None, number: int, judged: bool) -> "subprocess.Popen[bytes]":
    """A worker process with its own log. It gets the database URL in its environment, since that may have a password
    and arguments are visible to other users.
    """
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
"""How often Ray restarts a worker that dies; the new one continues its candidate."""


def work_with_ray(study: str, db: str | None, count: int, resources: Resources, judged: bool) -> None:
    """Runs `count` workers of a study until they end; 0 is as many as the cluster has room for now, at least one.

    Every worker reads the suite at the same path as here and opens the same database, so several machines need
    PostgreSQL. `UserError` with the first error of a worker.
    """
    url = database_url(db)
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(Path(url.database).resolve()))
    with _cluster() as ray:
        task = ray.remote(_work).options(
            num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=RETRIES, retry_exceptions=False
        )
        number = count or _room(ray.available_resources(), resources)
        tasks = [
            task.remote(study, url.render_as_string(hide_password=False), os.getcwd(), judged) for _ in range(number)
        ]
        try:
            problems = [problem for problem in ray.get(tasks) if problem]
        except ray.exceptions.RayError as error:
            raise UserError(f"a Ray worker failed: {str(error).strip().splitlines()[-1]}") from error
    if problems:
        raise UserError(problems[0])


def _work(study: str, db: str, directory: str, judged: bool) -> str:
    """Runs one worker in a Ray process; returns the message of a user error, "" without one."""
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
    """How many workers fit into the available resources, at least one."""
    shares = [
        available.get(name, 0.0) / wanted
        for name, wanted in (("CPU", resources.cpus), ("GPU", resources.gpus))
        if wanted
    ]
    return max(1, int(min(shares, default=1.0)))


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray's module, connected to the cluster of RAY_ADDRESS, or else to a cluster on this machine that ends with its
    block.
    """
    import ray

    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()
