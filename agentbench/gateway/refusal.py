"""Refused requests: their status and their body in OpenAI's error shape."""

import json
from collections.abc import Mapping

from agentbench.core.errors import AttemptError, ServerRefused

TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 410: "gone"}


class Refused(Exception):
    """Ends a request with `status`, `headers` and a message for the client."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


# A retry can't help; OpenAI's clients retry unless this header forbids it.
FINAL = {"x-should-retry": "false"}


def refusal_of(error: AttemptError) -> Refused:
    """The refusal for a failed call: the server's own refusal unchanged, 502 when no answer arrived, 429 for an
    exceeded limit.
    """
    if isinstance(error, ServerRefused):
        wait = error.retry_after_s
        return Refused(error.status, error.refusal, {} if wait is None else {"retry-after": f"{wait:g}"})
    if error.kind == "budget":
        return Refused(429, str(error), FINAL)
    return Refused(400 if error.kind == "agent" else 502, str(error))


def error_body(refused: Refused) -> bytes:
    kind = TYPES.get(refused.status, "server_error" if refused.status >= 500 else "invalid_request_error")
    error = {"message": str(refused), "type": kind, "param": None, "code": None}
    return json.dumps({"error": error}).encode()
