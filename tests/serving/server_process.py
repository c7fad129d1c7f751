"""Starts `python -m serving` as a process, for tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import urlsplit

COMMAND = (sys.executable, "-m", "serving")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that is ready."""

    process: subprocess.Popen[str]
    model: str
    base_url: str
    _errors: IO[str]

    @property
    def address(self) -> tuple[str, int]:
        url = urlsplit(self.base_url)
        assert url.hostname is not None
        assert url.port is not None
        return url.hostname, url.port

    def log(self) -> str:
        """The standard error so far."""
        return _all(self._errors)

    def stop(self) -> int:
        """Send SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(60)


@contextmanager
def running_server(model_path: Path, *options: str) -> Iterator[ServerProcess]:
    with running((*COMMAND, "--model", str(model_path), "--port", "0", *options)) as server:
        yield server


@contextmanager
def running_fake_server(interval_s: float, piece_bytes: int, *options: str) -> Iterator[ServerProcess]:
    """See `tests.serving.fake_server`."""
    fake = (sys.executable, "-m", "tests.serving.fake_server", str(interval_s), str(piece_bytes))
    with running((*fake, "--port", "0", *options)) as server:
        yield server


@contextmanager
def running(command: Sequence[str]) -> Iterator[ServerProcess]:
    with (
        TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            words = line.split()
            assert words[:1] == ["serving"], f"it printed {line!r} and no address: {_all(errors)}"
            yield ServerProcess(process, words[1], words[3], errors)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _all(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
