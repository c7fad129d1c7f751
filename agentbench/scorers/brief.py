"""Any value as one short line, for the reason of a score."""

from typing import Any

LIMIT = 120


def brief(value: Any, limit: int = LIMIT) -> str:
    """`repr(value)`, its middle left out when it is longer than `limit`; never raises for a JSON value."""
    try:
        text = repr(value[: 2 * limit] + value[-2 * limit :] if _is_long(value, limit) else value)
    except RecursionError:
        return f"(a {type(value).__name__} nested too deeply to be shown)"
    except ValueError:  # an integer of more than 4300 digits
        return f"(a {type(value).__name__} too long to be shown)"
    return cut_middle(text, limit, " … ")


def _is_long(value: Any, limit: int) -> bool:
    return isinstance(value, str) and len(value) > 4 * limit


def cut_middle(text: str, limit: int, mark: str) -> str:
    """`text`, or its start and end around `mark` when it is longer than `limit`; never longer than `limit`."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - len(mark))
    tail = kept // 2
    return text[: kept - tail] + mark[:limit] + (text[-tail:] if tail else "")
