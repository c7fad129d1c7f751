"""What an attempt came to: all that a comparison or a gate needs of it, small enough to be kept for a baseline."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agentbench.errors import FailureKind
from agentbench.score import Attempt
from agentbench.stats.calls import latency_s, tpot_s, ttft_s

EXCUSED: frozenset[FailureKind] = frozenset({"infra", "tool", "grader"})
"""Failures that say nothing of the agent: the server, a tool or a scorer broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The verdict, the scores and the latencies of one attempt.

    `passed` is None when it failed, or its verdict is still to come. The latencies have one value in seconds for each
    model call that defines it, in the order of the calls.
    """

    case_id: str
    cluster: str
    repeat: int
    passed: bool | None
    failure: FailureKind | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    ttft_s: tuple[float, ...] = ()
    tpot_s: tuple[float, ...] = ()
    latency_s: tuple[float, ...] = ()


def outcome_of(attempt: Attempt) -> Outcome:
    calls = [call for call in attempt.trace.model_calls if call.error is None]
    measured = {
        name: tuple(value for call in calls if (value := metric(call)) is not None)
        for name, metric in (("ttft_s", ttft_s), ("tpot_s", tpot_s), ("latency_s", latency_s))
    }
    return Outcome(
        case_id=attempt.case_id,
        cluster=attempt.cluster,
        repeat=attempt.repeat,
        passed=None if attempt.failure else attempt.passed,
        failure=attempt.failure.kind if attempt.failure else None,
        scores={score.name: score.value for score in attempt.scores},
        **measured,
    )


def outcomes_of(attempts: Iterable[Attempt]) -> list[Outcome]:
    return [outcome_of(attempt) for attempt in attempts]
