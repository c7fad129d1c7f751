"""What every chunk and body of one answer begins with."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

# Made once: `json.dumps` makes an encoder for each call that has options.
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Chunks are written many times a second: `chunk` encodes only what is new in them."""

    id: str
    kind: str
    chunk_kind: str
    model: str
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self, choices: list[dict[str, Any]], usage: object) -> dict[str, Any]:
        return {**self._head(self.kind), "choices": choices, "usage": usage}

    def chunk_head(self) -> str:
        """A server-sent event up to its choices; see `event`."""
        return f'data: {encode(self._head(self.chunk_kind))[:-1]},"choices":['

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def event(head: str, choice: dict[str, Any] | None, tail: str = "") -> str:
    """A chunk of one choice or none; `tail` is more of its keys, as JSON that begins with a comma."""
    return f"{head}{'' if choice is None else encode(choice)}]{tail}}}\n\n"
