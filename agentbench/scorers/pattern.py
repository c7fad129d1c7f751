"""A regular expression that a suite grades by: one that compiles, and that some answer does not meet."""

import re
import string
from functools import lru_cache
from typing import Any

SAMPLES = ("", "x", "-7", "\x00\n", "Ü \N{GREEK SMALL LETTER OMEGA}.\n", " ".join(string.printable))
"""Texts that have nothing in common: what is found in all of them is found in every answer. No long word is in them,
on which a pattern such as `(\\w+)*$` would not come to an end."""


def compiled(pattern: Any, *, ignore_case: bool = False, full: bool = False) -> re.Pattern[str]:
    """The pattern (a `.` takes a line's end too); `ValueError` says why it can't grade."""
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
    """Whether it is found in every text. What says that something is not there (`^(?!.*error)`, and `[^0-9]*` of the
    whole text) may be found in all samples and is a pattern all the same."""
    if any(part in pattern.pattern for part in ("(?!", "(?<!", *(("[^",) if full else ()))):
        return False
    return all(pattern.fullmatch(text) if full else pattern.search(text) for text in SAMPLES)
