"""Workloads: sessions of turns to send to a server."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Path = Literal["completions", "chat/completions"]
Form = Literal["ids", "text", "chat"]
"""The form of a prompt: token ids, text of as many short words, or such text as a chat message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request. `body` lacks the parts that differ between servers (model, stream options), which the client adds.

    `gap_ns` is the pause after the end of the previous turn. `prompt_tokens` and `output_tokens` are the requested
    numbers, when the workload decides them.
    """

    path: Path
    body: Mapping[str, Any]
    gap_ns: int = 0
    prompt_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Turns that are sent one after the other. `offset_s` is the recorded start, if there is one."""

    turns: tuple[Turn, ...]
    offset_s: float = 0.0
    name: str = ""


class Workload(Protocol):
    """Makes sessions. `size` is the number of different ones, None when they never repeat.

    `sessions` is endless (a finite workload starts again) and the same for the same seed.
    """

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int | None: ...

    @property
    def note(self) -> str:
        """A remark that a reader of the figures needs."""
        ...

    def sessions(self, seed: str) -> Iterator[Session]: ...
