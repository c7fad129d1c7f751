"""Requests that get no answer: the status and OpenAI's error shape."""

import json
from collections.abc import Mapping

from agentbench.core.errors import AttemptError, ServerRefused

TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 410: "gone"}


class Refused(Exception):
    """Ends a request with `status`, `headers` and a message for whoever sent it."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


# Trying again can't help, and clients of OpenAI's would.
FINAL = {"x-should-retry": "false"}


def refusal_of(error: AttemptError) -> Refused:
    """What a failed call tells the framework: a refusal of the server's as it was, no answer at all as 502, a limit
    that is exceeded as 429."""
    if isinstance(error, ServerRefused):
        wait = error.retry_after_s
        return Refused(error.status, error.said, {} if wait is None else {"retry-after": f"{wait:g}"})
    if error.kind == "budget":
        return Refused(429, str(error), FINAL)
    return Refused(400 if error.kind == "agent" else 502, str(error))


def error_body(refused: Refused) -> bytes:
    kind = TYPES.get(refused.status, "server_error" if refused.status >= 500 else "invalid_request_error")
    error = {"message": str(refused), "type": kind, "param": None, "code": None}
    return json.dumps({"error": error}).encode()
