"""Requests that get no answer: the status and OpenAI's error shape."""

import json
import re

from agentbench.errors import AttemptError

TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 410: "gone"}


class Refused(Exception):
    """Ends a request with `status` and a message for whoever sent it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def refusal_of(error: AttemptError) -> Refused:
    """What a failed call tells the framework: a refusal of the server's as it was, a failing server as 502, a limit
    that is exceeded as 429."""
    if error.kind == "agent":
        status = re.match(r"HTTP (4\d\d): ", str(error))
        return Refused(int(status[1]) if status else 400, str(error).removeprefix(status[0] if status else ""))
    return Refused(429 if error.kind == "budget" else 502, str(error))


def error_body(refused: Refused) -> bytes:
    kind = TYPES.get(refused.status, "server_error" if refused.status >= 500 else "invalid_request_error")
    error = {"message": str(refused), "type": kind, "param": None, "code": None}
    return json.dumps({"error": error}).encode()
