"""A score, an attempt (an agent working on a case once), and a person's label of an attempt."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from agentbench.core.trace import Failure, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One scorer's verdict on an attempt: a value in [0, 1], whether it passed, and why.

    `passed` is None while the verdict is still to come: a person's.
    """

    name: str
    value: float
    passed: bool | None
    reason: str = ""


def verdict(scores: Iterable[Score], passed_by: Collection[str]) -> bool | None:
    """Whether every score named in `passed_by` passed; None while that can't be said (or none is there)."""
    passed = [score.passed for score in scores if score.name in passed_by]
    if False in passed:
        return False
    return None if not passed or None in passed else True


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A person's verdict on an attempt; each reviewer has one, the last they gave."""

    case_id: str
    repeat: int
    reviewer: str
    passed: bool
    comment: str = ""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A case run once (`repeat` counts from 0), as it ended.

    `trace` holds what happened up to the end, also when the attempt failed. `passed` is the verdict of the
    suite's deciding scorers, None when there is a failure or that verdict is still to come. `tries` counts the
    tries this attempt took (infra failures are tried again); only the last try's trace is kept. `started_at` and
    `ended_at` bound the last try in `time.perf_counter_ns`; `wall_anchor_ns` + a reading = nanoseconds since the
    Unix epoch.
    """

    case_id: str
    cluster: str
    repeat: int
    seed: int
    tries: int
    started_at: int
    ended_at: int
    wall_anchor_ns: int
    trace: Trace
    failure: Failure | None = None
    scores: tuple[Score, ...] = ()
    passed: bool | None = None
