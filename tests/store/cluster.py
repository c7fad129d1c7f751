"""A private PostgreSQL server: a cluster in a directory of its own, reached by a socket in it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def server_binaries() -> Path | None:
    """The directory of the newest `initdb` and `pg_ctl` on this machine."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")]
    on_path = shutil.which("pg_ctl")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    usable = [path for path in found if (path / "initdb").exists()]
    return max(usable, key=lambda path: path.parent.name.zfill(4), default=None)


def _account() -> str | None:
    """The server refuses to run as root; the package made an account for it."""
    if os.getuid() != 0:
        return None
    pwd.getpwnam("postgres")
    return "postgres"


@contextmanager
def postgresql(binaries: Path, root: Path) -> Iterator[str]:
    """Runs a server whose files are in `root` (a short path: a socket's has 107 bytes) and yields its URL."""
    with running_cluster(binaries, root):
        yield f"postgresql+psycopg://agentbench@/postgres?host={root}"


class Cluster:
    """A server that can be stopped, as by a crash, and started again."""

    def __init__(self, binaries: Path, root: Path, start: Sequence[object]) -> None:
        self._control = (binaries / "pg_ctl", "-D", root / "data")
        self._start = start
        self.url = f"postgresql+psycopg://agentbench@/postgres?host={root}"

    def restart(self) -> None:
        _call(_account(), *self._control, "-m", "immediate", "-w", "stop")
        _call(_account(), *self._start)


@contextmanager
def running_cluster(binaries: Path, root: Path) -> Iterator[Cluster]:
    account = _account()
    if account:
        shutil.chown(root, account)
    data = root / "data"
    options = f"-c listen_addresses='' -c unix_socket_directories='{root}' -c fsync=off"
    _call(account, binaries / "initdb", "-D", data, "-U", "agentbench", "--auth=trust", "--encoding=UTF8")
    start = (binaries / "pg_ctl", "-D", data, "-l", root / "log", "-o", options, "-w", "start")
    try:
        _call(account, *start)
        yield Cluster(binaries, root, start)
    finally:
        _call(account, binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


@contextmanager
def private_cluster() -> Iterator[Cluster]:
    """A server in a new directory; the test is skipped where PostgreSQL is not installed."""
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries here (Debian's package is named postgresql)")
    made = tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True)
    with made as root, running_cluster(binaries, Path(root)) as cluster:
        yield cluster


def _call(account: str | None, *command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        user=account,
        group=account,
        extra_groups=[] if account else None,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
