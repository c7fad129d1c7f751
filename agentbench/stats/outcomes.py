"""The outcome of an attempt: all that figures, a comparison or a gate need of it, small enough for a baseline."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agentbench.core.attempt import Attempt
from agentbench.core.errors import FailureKind, unknown_name
from agentbench.core.trace import UserTurn
from agentbench.stats.calls import NS, first_token_s, latency_s, tpot_s, ttft_s
from agentbench.stats.usage import NOTHING, Usage, usage_of

AGENT_FAILURES: frozenset[FailureKind] = frozenset({"agent", "budget", "timeout"})
"""Failures of what is tested: the agent raised, or did not finish within its limits. The other kinds (infra, tool,
grader) are of what it is tested with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The verdict, the scores, the latencies and the usage of one attempt.

    `passed` is None for a failed or undecided attempt; `scores` has the decided ones. The latencies have one value in
    seconds for each model call that defines it, in the order of the calls. `began_at` and `ended_at` are nanoseconds
    since the Unix epoch. `agent_s` is the time between them without a simulated user's turns. `cold_start_s` is the
    agent's startup time when the attempt had to start it.
    """

    case_id: str
    cluster: str
    repeat: int = 0
    passed: bool | None
    failure: FailureKind | None = None
    tries: int = 1
    scores: Mapping[str, float] = field(default_factory=dict)
    ttft_s: tuple[float, ...] = ()
    first_token_s: tuple[float, ...] = ()
    tpot_s: tuple[float, ...] = ()
    latency_s: tuple[float, ...] = ()
    usage: Usage = NOTHING
    began_at: int = 0
    ended_at: int = 0
    agent_s: float = 0.0
    cold_start_s: float | None = None


def outcome_of(attempt: Attempt) -> Outcome:
    calls = [call for call in attempt.trace.model_calls if call.error is None]
    measured = {
        metric.__name__: tuple(value for call in calls if (value := metric(call)) is not None)
        for metric in (ttft_s, first_token_s, tpot_s, latency_s)
    }
    return Outcome(
        case_id=attempt.case_id,
        cluster=attempt.cluster,
        repeat=attempt.repeat,
        passed=None if attempt.failure else attempt.passed,
        failure=attempt.failure.kind if attempt.failure else None,
        tries=attempt.tries,
        scores={score.name: score.value for score in attempt.scores if score.passed is not None},
        **measured,
        usage=usage_of(attempt.trace.model_calls, attempt.wall_anchor_ns),
        began_at=attempt.wall_anchor_ns + attempt.started_at,
        ended_at=attempt.wall_anchor_ns + attempt.ended_at,
        agent_s=_agent_s(attempt),
        cold_start_s=None if attempt.trace.cold_start_ns is None else attempt.trace.cold_start_ns * NS,
    )


def outcomes_of(attempts: Iterable[Attempt]) -> list[Outcome]:
    """The outcomes; equal scores share one object, since a run has few different ones."""
    shared: dict[tuple[tuple[str, float], ...], Mapping[str, float]] = {}
    found = []
    for attempt in attempts:
        outcome = outcome_of(attempt)
        scores = shared.setdefault(tuple(outcome.scores.items()), outcome.scores)
        found.append(replace(outcome, scores=scores))
    return found


def agent_failures_as_wrong(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes as a gate counts them: an agent that raised or exceeded its limits was not right.

    Otherwise an agent that crashes on every case it can't solve would pass every gate.
    """
    return [agent_failure_as_wrong(outcome) for outcome in outcomes]


def agent_failure_as_wrong(outcome: Outcome) -> Outcome:
    return replace(outcome, passed=False, failure=None) if outcome.failure in AGENT_FAILURES else outcome


def _agent_s(attempt: Attempt) -> float:
    thinking = sum(step.ended_at - step.started_at for step in attempt.trace.steps if isinstance(step, UserTurn))
    return (attempt.ended_at - attempt.started_at - thinking) * NS


OBJECTIVES = ("ttft", "tpot", "latency")
"""`ttft` and `tpot` limit every model call of the attempt; `latency` its time from start to end."""


def meets(outcome: Outcome, limits: Mapping[str, float]) -> bool:
    """Whether the attempt met every limit (seconds), in every one of its model calls.

    A call without a first token fails a TTFT limit; an undefined TPOT (a single token) meets any TPOT limit. A
    simulated user's turns do not count as latency. Raises `UserError` for an unknown objective.
    """
    for name in limits:
        if name not in OBJECTIVES:
            raise unknown_name("objective", name, OBJECTIVES)
    infinite = float("inf")
    return (
        not ("ttft" in limits and outcome.usage.unanswered)
        and all(ttft <= limits.get("ttft", infinite) for ttft in outcome.ttft_s)
        and all(tpot <= limits.get("tpot", infinite) for tpot in outcome.tpot_s)
        and outcome.agent_s <= limits.get("latency", infinite)
    )
