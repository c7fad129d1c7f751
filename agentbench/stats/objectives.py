"""Service-level objectives: whether an attempt met its latency limits."""

from collections.abc import Mapping

from agentbench.errors import unknown_name
from agentbench.score import Attempt
from agentbench.stats.calls import NS, tpot_s, ttft_s
from agentbench.trace import UserTurn

OBJECTIVES = ("ttft", "tpot", "latency")
"""`ttft` and `tpot` limit every model call of the attempt; `latency` its time from start to end."""


def meets(attempt: Attempt, limits: Mapping[str, float]) -> bool:
    """Whether the attempt met every limit (seconds); with several model calls every one of them must.

    A call without a first token does not meet a TTFT limit; one whose TPOT is undefined (a single token)
    meets any TPOT limit. Raises `UserError` for an objective there is none of.
    """
    for name in limits:
        if name not in OBJECTIVES:
            raise unknown_name("objective", name, OBJECTIVES)
    calls = attempt.trace.model_calls
    first_tokens = [ttft_s(call) for call in calls]
    gaps = [tpot for call in calls if (tpot := tpot_s(call)) is not None]
    infinite = float("inf")
    return (
        all(ttft is not None and ttft <= limits["ttft"] for ttft in first_tokens if "ttft" in limits)
        and all(tpot <= limits.get("tpot", infinite) for tpot in gaps)
        and agent_time_s(attempt) <= limits.get("latency", infinite)
    )


def agent_time_s(attempt: Attempt) -> float:
    """From the attempt's start to its end, without the turns of a simulated user."""
    thinking = sum(step.ended_at - step.started_at for step in attempt.trace.steps if isinstance(step, UserTurn))
    return (attempt.ended_at - attempt.started_at - thinking) * NS
