"""The access log: one line for each HTTP request. The response carries the request's id."""

import json
import logging
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.usage import RequestUsage

_LOG = logging.getLogger("serving.requests")
# Monitoring requests these every few seconds: they are logged at level debug.
QUIET_PATHS = frozenset(("/health", "/metrics"))
OTHER_PATH = "other"  # replaces an unknown path in log and metrics: clients may put any text there
_RECORD_KEY = "serving.record"
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that disconnected before the response
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MAX_CLIENT_CHARACTERS = 80


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """What the log line of a request reports. Times are in seconds of `time.monotonic`.

    `usage` is None until the engine has accepted the request.
    """

    id: str
    path: str
    client: str
    started_at: float = field(default_factory=time.monotonic)
    status: int = CLIENT_CLOSED_REQUEST
    error: str | None = None
    usage: RequestUsage | None = None

    @classmethod
    def from_scope(cls, scope: Scope) -> "RequestRecord":
        """Uses the client's `x-request-id` if it matches `_REQUEST_ID`, else a random id."""
        client_id = Headers(scope=scope).get("x-request-id", "")
        client = scope.get("client")
        return cls(
            id=client_id if _REQUEST_ID.fullmatch(client_id) else f"req_{uuid4().hex}",
            path=scope["path"],
            client=str(client[0])[:_MAX_CLIENT_CHARACTERS] if client else "",
        )

    def to_json(self, now: float) -> str:
        """The log line, a JSON object. It contains no text of a prompt or an answer."""
        entry: dict[str, object] = {"request": self.id, "path": self.path, "status": self.status}
        if self.error is not None:
            entry["error"] = self.error
        if self.usage is not None:
            entry |= _usage_fields(self.usage)
        return json.dumps({**entry, "duration_s": round(now - self.started_at, 4), "client": self.client})


class RequestLog:
    """The outermost ASGI application. It calls `on_response` with the endpoint and status of each response."""

    def __init__(self, app: ASGIApp, endpoints: Collection[str], on_response: Callable[[str, int], None]) -> None:
        self._app = app
        self._endpoints = endpoints
        self._on_response = on_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope[_RECORD_KEY] = RequestRecord.from_scope(scope)
        if record.path not in self._endpoints:
            record.path = OTHER_PATH

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = record.id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._on_response(record.path, record.status)
            level = logging.DEBUG if record.path in QUIET_PATHS else logging.INFO
            if _LOG.isEnabledFor(level):
                _LOG.log(level, "%s", record.to_json(time.monotonic()))


def get_record(scope: Scope) -> RequestRecord:
    """The record that `RequestLog` added to the request's scope."""
    record = scope[_RECORD_KEY]
    assert isinstance(record, RequestRecord)
    return record


def _usage_fields(usage: RequestUsage) -> dict[str, object]:
    reasons = ",".join(reason or "abort" for reason in usage.finish_reasons)
    first = usage.first_token_at
    return {
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "ttft_s": None if first is None else round(first - usage.started_at, 4),
        "finish_reason": reasons,
    }
