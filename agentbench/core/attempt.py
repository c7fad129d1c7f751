"""A score, an attempt (an agent working on a case once), and a person's label of an attempt."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from agentbench.core.trace import Failure, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One scorer's grade of an attempt: a value in [0, 1], whether it passed, and why.

    `passed` is None until a person has graded the attempt.
    """

    name: str
    value: float
    passed: bool | None
    reason: str = ""


def verdict(scores: Iterable[Score], passed_by: Collection[str]) -> bool | None:
    """Whether every score named in `passed_by` passed; None when `passed_by` is empty or a score is undecided."""
    passed = [score.passed for score in scores if score.name in passed_by]
    if False in passed:
        return False
    return None if not passed or None in passed else True


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A person's verdict on an attempt. Each reviewer has one label per attempt: the latest."""

    case_id: str
    repeat: int
    reviewer: str
    passed: bool
    comment: str = ""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An agent working on a case once (`repeat` counts from 0).

    `trace` holds all steps up to the end, also when the attempt failed. `passed` is the verdict of the suite's deciding
    scorers; it is None when there is a failure or the verdict is still undecided. An attempt that ends in an infra
    failure is tried again; `tries` counts the tries, and only the last try's trace is stored. `started_at` and
    `ended_at` bound the last try in `time.perf_counter_ns`; adding `wall_anchor_ns` to such a reading gives nanoseconds
    since the Unix epoch.
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
