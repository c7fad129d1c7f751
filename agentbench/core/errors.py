"""The exceptions of this package: a user's mistakes, and failures of backends and tools."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

FailureKind = Literal["infra", "timeout", "agent", "tool", "grader", "budget"]


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one line that quotes the bad value, lists the valid ones and says what to do. The CLI prints it to
    stderr and exits with 2; the pytest plugin reports it as a usage error.
    """


class AttemptError(Exception):
    """Ends the attempt in which it is raised; the runner turns it into a `Failure` of `kind`.

    `detail` helps to find the cause and is too long for a message (the end of a log).
    """

    def __init__(self, kind: FailureKind, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.detail = detail


class ServerRefused(AttemptError):
    """A server refused a request with `status`; `retry_after_s` is the pause it asks for before the next request."""

    def __init__(self, status: int, refusal: str, retry_after_s: float | None = None) -> None:
        ours = 400 <= status < 500 and status not in SERVER_S
        super().__init__("agent" if ours else "infra", f"HTTP {status}: {refusal}")
        self.status = status
        self.refusal = refusal
        self.retry_after_s = retry_after_s

    @property
    def is_for_all(self) -> bool:
        """Whether the server would refuse every other request too: the key or the address is wrong."""
        return self.status in REFUSES_ALL


REFUSES_ALL = frozenset({401, 403, 404})
BUSY = frozenset({408, 409, 425, 429})
SERVER_S = REFUSES_ALL | BUSY
"""Statuses below 500 whose cause is not the agent's request."""


def did_you_mean(name: str, valid: Iterable[str], *, most: int = 3, cutoff: float = 0.5) -> str:
    """A sentence that suggests the nearest valid names, preceded by a space; empty when no name is near."""
    near = get_close_matches(name, sorted(valid), n=most, cutoff=cutoff)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name that is not registered: the nearest names first, then all of them."""
    names = sorted(valid)
    hint = did_you_mean(name, names, cutoff=0.4)
    listed = f"Valid: {', '.join(names)}." if names else "There is none."
    return UserError(f"unknown {kind} {name!r}.{hint} {listed}")
