"""What is asked of the server: sessions of turns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Path = Literal["completions", "chat/completions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request. `body` lacks what differs between servers (model, stream options), which the client adds.

    `gap_ns` is the pause between the end of the turn before and this one. `prompt_tokens` and `output_tokens`
    are the numbers asked for, where the workload decides them.
    """

    path: Path
    body: Mapping[str, Any]
    gap_ns: int = 0
    prompt_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Turns that are sent one after the other. `offset_s` is the recorded start, where there is one."""

    turns: tuple[Turn, ...]
    offset_s: float = 0.0
    name: str = ""


class Workload(Protocol):
    """Makes sessions. `size` is the number of different ones, None when they never run out.

    `sessions` is endless (a finite workload begins again) and the same for the same seed.
    """

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int | None: ...

    @property
    def note(self) -> str:
        """What a reader of the figures must know of it."""
        ...

    def sessions(self, seed: str) -> Iterator[Session]: ...
