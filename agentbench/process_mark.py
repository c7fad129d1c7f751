"""Ends a process with all its descendants, by a mark in the environment that children inherit.

As a program it is the lifeline of agents. Lines `+GROUP MARK` and `-GROUP MARK` on its input register and end a
process. When the input ends, which happens however the parent dies, it ends all registered processes.
"""

import os
import signal
import sys
import time

MARK_VARIABLE = "AGENTBENCH_PROCESS"
"""The environment variable that holds the mark."""
PROGRAM = __file__
PROC = "/proc"
"""Only Linux tells the environment of a process: elsewhere a process that left its group is not found."""
ROUNDS = 100
PAUSE_S = 0.01


def end_marked(group: int, mark: str) -> None:
    """Kill the process group, and every process with the mark until there is none."""
    _kill(os.killpg, group)
    for _ in range(ROUNDS):
        found = _marked(mark)
        if not found:
            return
        for process in found:
            _kill(os.kill, process)
        time.sleep(PAUSE_S)


def _kill(kill, target: int) -> None:  # type: ignore[no-untyped-def]
    try:
        kill(target, signal.SIGKILL)
    except OSError:
        return


def _marked(mark: str) -> list[int]:
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    names = os.listdir(PROC) if os.path.isdir(PROC) else []
    return [int(name) for name in names if name.isdigit() and wanted in _environment(name)]


def _environment(process: str) -> list[bytes]:
    """The process's environment; empty when it has ended or belongs to another user."""
    try:
        with open(f"{PROC}/{process}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _watch() -> None:
    held: dict[str, str] = {}
    for line in sys.stdin:
        group, _, mark = line[1:].strip().partition(" ")
        if line[0] == "+":
            held[group] = mark
        elif held.pop(group, None) is not None:
            end_marked(int(group), mark)
    for group, mark in held.items():
        end_marked(int(group), mark)


if __name__ == "__main__":
    _watch()
