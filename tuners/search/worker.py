"""A worker of a study: a process on a machine."""

import os
import platform


def this_worker() -> str:
    return f"{platform.node()}:{os.getpid()}"


def is_here(worker: str) -> bool:
    """Whether it is of this machine."""
    return worker.rpartition(":")[0] == platform.node()


def is_there(worker: str) -> bool:
    """Whether its process runs; one of another machine is taken to."""
    if not is_here(worker):
        return True
    try:
        os.kill(int(worker.rpartition(":")[2]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
