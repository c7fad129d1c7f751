"""Service-level objectives: whether an attempt met its latency limits."""

from collections.abc import Mapping

from agentbench.core.errors import unknown_name
from agentbench.stats.outcomes import Outcome

OBJECTIVES = ("ttft", "tpot", "latency")
"""`ttft` and `tpot` limit every model call of the attempt; `latency` its time from start to end."""


def meets(outcome: Outcome, limits: Mapping[str, float]) -> bool:
    """Whether the attempt met every limit (seconds); with several model calls every one of them must.

    A call without a first token does not meet a TTFT limit; one whose TPOT is undefined (a single token)
    meets any TPOT limit. A simulated user's turns are not part of the latency. Raises `UserError` for an objective
    there is none of.
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
