"""What scorers share in reading `expected` and writing reasons.

A case's `expected` for one of several scorers; any value as a short line; comparison of numbers with all their digits,
since a float has only 53 bits; and regular expressions that compile and that some answer fails.
"""

import re
import string
from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from functools import lru_cache
from typing import Any

from agentbench.core.case import Case

LIMIT = 120


def brief(value: Any, limit: int = LIMIT) -> str:
    """`repr(value)`, cut in the middle when it is longer than `limit`; never raises for a JSON value."""
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
    """`text`; a longer one keeps its start and end around `mark` and has `limit` characters at most."""
    if len(text) <= limit:
        return text
    length = max(0, limit - len(mark))
    tail = length // 2
    return text[: length - tail] + mark[:limit] + (text[-tail:] if tail else "")


def expected_of(case: Case, *keys: str) -> Any:
    """The value of the first of the keys that a mapping `expected` has, otherwise `expected` itself.

    The keys are the scorer's name in the suite (its `as`), then its registered name.
    """
    if isinstance(case.expected, Mapping):
        for key in keys:
            if key in case.expected:
                return case.expected[key]
    return case.expected


def shown(value: Any, limit: int = 200) -> str:
    """A value for a reason: quoted, and cut when it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


Number = int | float | Decimal

CONTEXT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
"""Differences are rounded to so many digits, so that no length of a number makes one costly."""


def exact(value: Number) -> Decimal:
    """The number as written: 0.1 is a tenth, not the nearest float."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def is_close(a: Number, b: Number, *, relative: Number = 0, absolute: Number = 0) -> bool:
    """Like `math.isclose`, for numbers of any size; nothing is close to NaN or an infinity."""
    left, right = exact(a), exact(b)
    if not (left.is_finite() and right.is_finite()):
        return False
    difference = CONTEXT.abs(CONTEXT.subtract(left, right))
    larger = max(CONTEXT.abs(left), CONTEXT.abs(right))
    return difference <= max(CONTEXT.multiply(exact(relative), larger), exact(absolute))


SAMPLES = ("", "x", "-7", "\x00\n", "Ü \N{GREEK SMALL LETTER OMEGA}.\n", " ".join(string.printable))
"""Texts that have nothing in common: what is found in all of them is found in every answer. No long word is in them,
on which a pattern such as `(\\w+)*$` would not come to an end."""


def compiled(pattern: Any, *, ignore_case: bool = False, full: bool = False) -> re.Pattern[str]:
    """The compiled pattern (`.` matches a line break too); `ValueError` says why it can't grade."""
    if not isinstance(pattern, str):
        raise ValueError("not a regular expression: it is no text")
    return _compiled(pattern, ignore_case, full)


@lru_cache(maxsize=4096)
def _compiled(pattern: str, ignore_case: bool, full: bool) -> re.Pattern[str]:
    try:
        found = re.compile(pattern, re.DOTALL | (re.IGNORECASE if ignore_case else 0))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if not pattern.strip() or _finds_anything(found, full):
        raise ValueError("a pattern that every answer passes")
    return found


def _finds_anything(pattern: re.Pattern[str], full: bool) -> bool:
    """Whether the pattern matches every text.

    A pattern for absence (`^(?!.*error)`, or `[^0-9]*` for the whole text) may match all samples, and is valid all the
    same.
    """
    if any(part in pattern.pattern for part in ("(?!", "(?<!", *(("[^",) if full else ()))):
        return False
    return all(pattern.fullmatch(text) if full else pattern.search(text) for text in SAMPLES)
