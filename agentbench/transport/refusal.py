"""What a server says when it refuses."""

import json
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
