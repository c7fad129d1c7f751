"""Which process makes a run, and whether it has ended: one that was killed could not say so itself."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """This process, among those of its machine now and before: numbers are given out again."""
    return {"host": platform.node(), "pid": os.getpid(), "pid_of": _of(os.getpid())}


def has_ended(process: Mapping[str, Any]) -> bool:
    """Whether a process that an `identity` names has ended for sure; False where this machine can't know."""
    pid = process.get("pid")
    if process.get("host") != platform.node() or not isinstance(pid, int):
        return False
    found, known = _of(pid), process.get("pid_of")
    if found is None or not isinstance(known, list):
        return known is None and not _is_there(pid)
    here = _of(os.getpid()) or []
    return known[:1] == here[:1] and found != known


def _of(pid: int) -> list[str] | None:
    """The pid's namespace, and when its process began (clock ticks after the boot); None without /proc.

    Of a pid that nobody has, the namespace alone.
    """
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
    try:
        # Field 22; the second is the program's name in parentheses, and may hold anything.
        began = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return [space]
    return [space, began]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
