"""A score, and an attempt: one case run once, with what came of it."""

from dataclasses import dataclass

from agentbench.trace import Failure, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One scorer's verdict on an attempt: a value in [0, 1], whether it passed, and why.

    `passed` is None while the verdict is still to come: a person's.
    """

    name: str
    value: float
    passed: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A case run once (`repeat` counts from 0), as it ended.

    `trace` holds what happened up to the end, also when the attempt failed. `passed` is the verdict of the
    suite's deciding scorer, None when there is a failure or that verdict is still to come. `tries` counts the
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
