"""Work that a pytest session does once: one pytest-xdist worker takes it, the others see what came of it."""

import hashlib
import json
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import IO, Any

POLL_S = 0.1
"""How often one looks whether another worker has come further."""

STOP = "stop"


class Once:
    """One piece of work, known to every worker of the session by two files in the session's directory.

    A process that took it has it until it ends: the system takes the lock from one that died, and another goes on
    with the work. What was told of it stays.
    """

    def __init__(self, directory: Path, key: str) -> None:
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self._lock = directory / f"{name}.lock"
        self._facts = directory / f"{name}.json"
        self._stop = directory / STOP
        self.in_flight = directory / f"{name}.flight"
        self._held: IO[str] | None = None

    def take(self) -> bool:
        """Whether the work is this process's: at most one has it at a time, and none once the session stops."""
        if self._held is not None:
            return True
        if self.stopped():
            return False
        file = self._lock.open("w")
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except OSError:
            file.close()
            return False
        self._held = file
        return True

    def told(self) -> dict[str, Any]:
        """What those who had the work told of it so far."""
        try:
            found: dict[str, Any] = json.loads(self._facts.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def tell(self, **facts: Any) -> None:
        """Add facts (JSON values) for the others; only for the one that has the work."""
        draft = self._facts.with_suffix(".draft")
        draft.write_text(json.dumps({**self.told(), **facts}), encoding="utf-8")
        draft.replace(self._facts)

    def stopped(self) -> bool:
        """Whether the session ends before its time (-x, Ctrl-C), so that nobody wants the work any more."""
        return self._stop.exists()

    def leave(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def runs_of(directory: Path) -> list[str]:
    """The ids of the runs that the session's workers told of."""
    told = [json.loads(file.read_text(encoding="utf-8")) for file in directory.glob("*.json")]
    return sorted(facts["run"] for facts in told if "run" in facts)


def stop(directory: Path) -> None:
    """Tell the workers that the session ends."""
    (directory / STOP).touch()
