"""Speculation by prompt lookup: guess that what followed the last tokens before follows them again.

Saxena, "Prompt Lookup Decoding" (2023).
"""

from collections.abc import Sequence

LONGEST, SHORTEST = 4, 2  # tokens that must have occurred before


def look_up(token_ids: Sequence[int], most: int) -> tuple[int, ...]:
    """Up to `most` tokens that followed the latest earlier occurrence of the longest possible ending."""
    if most < 1:
        return ()
    for length in range(min(LONGEST, len(token_ids) - 1), SHORTEST - 1, -1):
        start = _latest(token_ids, length)
        if start is not None:
            return tuple(token_ids[start + length : start + length + most])
    return ()


def _latest(token_ids: Sequence[int], length: int) -> int | None:
    """Where the last `length` tokens occurred last before they ended the sequence."""
    ending = list(token_ids[-length:])
    last = ending[-1]
    for stop in range(len(token_ids) - 1, length - 1, -1):
        if token_ids[stop - 1] == last and list(token_ids[stop - length : stop]) == ending:
            return stop - length
    return None
