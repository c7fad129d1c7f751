"""A line for each HTTP request, and its id in the response."""

import logging
import time
from collections.abc import Callable, Collection

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.request_record import RequestRecord

_LOG = logging.getLogger("serving.requests")
# Asked every few seconds by whoever watches the server: logged for debugging only.
QUIET_PATHS = frozenset(("/health", "/metrics"))
OTHER = "other"  # any path that a client may think of: its text, which neither log nor metrics have
_RECORD = "serving.record"


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
