"""What a server says when it refuses."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

MESSAGE_LIMIT = 300


def refusal(body: bytes) -> str:
    """The message in the body of an answer that is an error; the body itself when it is no JSON."""
    text = body.decode("utf-8", "replace")
    try:
        return message_of(json.loads(text))
    except ValueError:
        return message_of(text)


def message_of(body: Any) -> str:
    """The message of an error in OpenAI's shape, or what there is of it."""
    found = body.get("error", body) if isinstance(body, dict) else body
    message = found.get("message", found) if isinstance(found, dict) else found
    return " ".join(str(message).split())[:MESSAGE_LIMIT]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long a server asks to be left alone (RFC 9110, section 10.2.3): seconds, or a date."""
    given = headers.get("retry-after", "")
    try:
        if given.replace(".", "", 1).isdecimal():
            return float(given)
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds()) if given else None
    except (ValueError, TypeError, OverflowError):
        return None
