"""Ends the server when its parent ends, however the parent ends."""

import os
import signal
import threading

STDIN = 0


def end_with_parent() -> None:
    """Watch standard input, a pipe that the parent holds open, and die at once when it closes.

    The whole process group goes, where this process leads one (the parent starts it in a session of its own).
    The pipe closes with the parent even when that is killed: no handler of the parent's has to run.
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
        return b""  # no standard input at all is no parent
