"""Kills the server when its parent process ends, even if the parent was killed."""

import os
import signal
import threading

STDIN = 0


def end_with_parent() -> None:
    """Watch standard input, a pipe that the parent holds open, and kill this process when it closes.

    A process that leads its process group (the parent started it in a new session) kills the whole group.
    The operating system closes the pipe when the parent ends, so the parent needs no handler of its own.
    """
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    while _read():
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _read() -> bytes:
    try:
        return os.read(STDIN, 4096)
    except OSError:
        return b""  # standard input is closed: there is no parent
