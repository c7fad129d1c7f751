"""One HTTP request: its send times, and the undecoded answer with the time of each read."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from agentbench.credentials import redacted


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Filled in while the request runs, decoded after it. Times are `perf_counter_ns`.

    `sent_at` is just before the request's bytes were written on an open connection (0 when they never were). For a
    request that was sent twice it is the first time, so that a latency never looks shorter than the wait was; `retries`
    is 1 then. `error` is a kind (`refused`, `reset`, `broken`, `timeout`, `malformed`, `interrupted`), empty after a
    complete response. `begun` receives the headers of an answer as soon as they arrived, and `relay` each piece of its
    body, but neither of them those of a refusal. They must neither block nor raise.
    """

    sent_at: int = 0
    ended_at: int = 0
    retries: int = 0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    error: str = ""
    detail: str = ""
    begun: Callable[[Mapping[str, str]], None] | None = None
    relay: Callable[[bytes], None] | None = None

    def redact(self, secrets: Collection[str]) -> None:
        """Remove secrets that the server echoed. Read times stay, except those of reads that split a secret."""
        body = self.body if secrets else b""
        if redacted(body, secrets) == body:
            return
        self.pieces = [(at, redacted(piece, secrets)) for at, piece in self.pieces]
        body = self.body
        if (joined := redacted(body, secrets)) != body:
            self.pieces = [(self.pieces[-1][0], joined)]

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)


MESSAGE_LIMIT = 300


def refusal(body: bytes) -> str:
    """The message in the body of an error response; the body itself when it is not JSON."""
    text = body.decode("utf-8", "replace")
    try:
        return message_of(json.loads(text))
    except ValueError:
        return message_of(text)


def message_of(body: Any) -> str:
    """The message of an error in OpenAI's shape, or the nearest to it."""
    found = body.get("error", body) if isinstance(body, dict) else body
    message = found.get("message", found) if isinstance(found, dict) else found
    return " ".join(str(message).split())[:MESSAGE_LIMIT]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The pause that a server asks for (RFC 9110, section 10.2.3): seconds, or a date."""
    header = headers.get("retry-after", "")
    try:
        if header.replace(".", "", 1).isdecimal():
            return float(header)
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()) if header else None
    except (ValueError, TypeError, OverflowError):
        return None
