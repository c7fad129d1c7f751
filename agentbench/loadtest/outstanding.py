"""Requests in flight, from the times at which each was wanted and ended."""

from collections.abc import Sequence
from itertools import accumulate

from agentbench.loadtest.record import Record


def most_outstanding(rounds: Sequence[Sequence[Record]]) -> int:
    """At any moment of any round."""
    return max((max(accumulate(step for _, step in _steps(records)), default=0) for records in rounds), default=0)


def mean_outstanding(rounds: Sequence[Sequence[Record]]) -> float | None:
    """Over time, in each round from the first that was wanted to the last that ended (Little: Σ durations / time)."""
    time = sum(max(r.ended_at for r in records) - min(r.intended_at for r in records) for records in rounds if records)
    total = sum(record.ended_at - record.intended_at for records in rounds for record in records)
    return total / time if time else None


def found_outstanding(records: Sequence[Record]) -> list[int]:
    """How many requests each one found in flight when it was wanted, in that order."""
    now = 0
    found = []
    for _, step in _steps(records):
        if step > 0:
            found.append(now)
        now += step
    return found


def _steps(records: Sequence[Record]) -> list[tuple[int, int]]:
    """+1 where one was wanted, −1 where one ended, in time; at the same time the end is first."""
    wanted = [(record.intended_at, 1) for record in records]
    return sorted([*wanted, *((record.ended_at, -1) for record in records)])
