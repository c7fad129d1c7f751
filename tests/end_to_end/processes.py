"""Finding and waiting for processes by what is on their command line."""

import time
from collections.abc import Callable
from pathlib import Path


def running(mark: str) -> list[int]:
    """The ids of the processes (no zombies) with `mark` on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if mark in command:
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool], limit_s: float = 30.0) -> bool:
    """Whether the condition came true within the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    """Whether there is such a process, one that ended and was not waited for not counted."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
