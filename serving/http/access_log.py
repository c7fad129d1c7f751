"""The access log: one line for each HTTP request, and its id in the response."""

import json
import logging
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.usage import Tally

_LOG = logging.getLogger("serving.requests")
# Asked every few seconds by whoever watches the server: logged for debugging only.
QUIET_PATHS = frozenset(("/health", "/metrics"))
OTHER = "other"  # any path that a client may think of: its text, which neither log nor metrics have
_RECORD = "serving.record"
CLIENT_GONE = 499  # nginx's number: nobody was there to get a status
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LONGEST = 80


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """Times are of `time.monotonic`. `tally` is there once the engine has the request."""

    id: str
    path: str
    client: str
    started_at: float = field(default_factory=time.monotonic)
    status: int = CLIENT_GONE
    error: str | None = None
    tally: Tally | None = None

    @classmethod
    def of(cls, scope: Scope) -> "RequestRecord":
        """The client's own `x-request-id` is kept where it is short and plain; else it gets another."""
        client_id = Headers(scope=scope).get("x-request-id", "")
        client = scope.get("client")
        return cls(
            id=client_id if _ID.fullmatch(client_id) else f"req_{uuid4().hex}",
            path=scope["path"],
            client=str(client[0])[:_LONGEST] if client else "",
        )

    def line(self, now: float) -> str:
        """One JSON object, without anything that was asked or answered."""
        entry: dict[str, object] = {"request": self.id, "path": self.path, "status": self.status}
        if self.error is not None:
            entry["error"] = self.error
        if self.tally is not None:
            entry |= _counts(self.tally)
        return json.dumps({**entry, "duration_s": round(now - self.started_at, 4), "client": self.client})


class RequestLog:
    """The outermost application. `responded` is told each response's endpoint and status."""

    def __init__(self, app: ASGIApp, endpoints: Collection[str], responded: Callable[[str, int], None]) -> None:
        self._app = app
        self._endpoints = endpoints
        self._responded = responded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope[_RECORD] = RequestRecord.of(scope)
        if record.path not in self._endpoints:
            record.path = OTHER

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = record.id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._responded(record.path, record.status)
            level = logging.DEBUG if record.path in QUIET_PATHS else logging.INFO
            if _LOG.isEnabledFor(level):
                _LOG.log(level, "%s", record.line(time.monotonic()))


def record_of(scope: Scope) -> RequestRecord:
    """The record of a request that has come through `RequestLog`."""
    record = scope[_RECORD]
    assert isinstance(record, RequestRecord)
    return record


def _counts(tally: Tally) -> dict[str, object]:
    reasons = ",".join(reason or "abort" for reason in tally.finish_reasons)
    first = tally.first_token_at
    return {
        "prompt_tokens": tally.prompt_tokens,
        "cached_tokens": tally.cached_tokens,
        "completion_tokens": tally.completion_tokens,
        "ttft_s": None if first is None else round(first - tally.started_at, 4),
        "finish_reason": reasons,
    }
