"""`python -m serving` as a process of its own, for tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "serving")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that answers."""

    process: subprocess.Popen[str]
    model: str
    base_url: str

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        self.process.terminate()
        return self.process.wait(20)


@contextmanager
def running_server(model_path: Path, *options: str) -> Iterator[ServerProcess]:
    command = (*COMMAND, "--model", str(model_path), "--port", "0", *options)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            words = line.split()
            assert words[:1] == ["serving"], f"it printed {line!r} and no address"
            yield ServerProcess(process, words[1], words[3])
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
