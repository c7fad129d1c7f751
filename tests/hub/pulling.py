"""Run as a process: pulls the tiny model and prints each stage; kills itself at the stage it is told."""

import os
import signal
import sys

import pytest

from agentbench.hub import pull
from tests.hub.test_pull import artifact, register


def main(sha256: str, killed_at: str) -> None:
    seen: set[str] = set()

    def progress(stage: str, done: int) -> None:
        name = stage.split()[0]
        if name not in seen:
            print(name, flush=True)
        seen.add(name)
        if name == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    register(pytest.MonkeyPatch(), artifact(sha256))
    pull("tiny-model", progress=progress)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
