"""What a run's model calls say of the server: latencies, throughput, goodput."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentbench.stats.calls import NS
from agentbench.stats.objectives import meets
from agentbench.stats.outcomes import Outcome, total


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSummary:
    """Seconds, tokens, and rates per second; None where nothing defines the value.

    Percentiles are over model calls that were answered, by linear interpolation. `wall_s` is the last end
    − the first start of an attempt, on the wall clock, so that attempts of several processes share one axis;
    of a run that was resumed it contains the pause. Token counts are sums over every call, None when no
    call has a count.
    """

    model_calls: int
    ttft_p50_s: float | None
    ttft_p90_s: float | None
    ttft_p95_s: float | None
    ttft_p99_s: float | None
    tpot_p50_s: float | None
    tpot_p95_s: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    output_tokens_per_s: float | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    wall_s: float | None
    agent_goodput_per_s: float | None


def percentile(values: Sequence[float], q: float) -> float | None:
    """The q-th percentile (0–100), linear between order statistics; None of nothing."""
    return float(np.percentile(values, q)) if values else None


def summarize_serving(outcomes: Sequence[Outcome], limits: Mapping[str, float] | None = None) -> ServingSummary:
    """The summary of a run's attempts; `limits` are its objectives, metric to limit in seconds."""
    ttft = [value for outcome in outcomes for value in outcome.ttft_s]
    tpot = [value for outcome in outcomes for value in outcome.tpot_s]
    latency = [value for outcome in outcomes for value in outcome.latency_s]
    return ServingSummary(
        model_calls=sum(outcome.usage.calls for outcome in outcomes),
        ttft_p50_s=percentile(ttft, 50),
        ttft_p90_s=percentile(ttft, 90),
        ttft_p95_s=percentile(ttft, 95),
        ttft_p99_s=percentile(ttft, 99),
        tpot_p50_s=percentile(tpot, 50),
        tpot_p95_s=percentile(tpot, 95),
        latency_p50_s=percentile(latency, 50),
        latency_p95_s=percentile(latency, 95),
        output_tokens_per_s=output_throughput(outcomes),
        prompt_tokens=total(outcome.usage.prompt_tokens for outcome in outcomes),
        cached_tokens=total(outcome.usage.cached_tokens for outcome in outcomes),
        completion_tokens=total(outcome.usage.completion_tokens for outcome in outcomes),
        wall_s=wall_s(outcomes),
        agent_goodput_per_s=agent_goodput(outcomes, limits or {}),
    )


def output_throughput(outcomes: Sequence[Outcome]) -> float | None:
    """Σ completion tokens / (last token − first send) over all calls, in tokens per second."""
    tokens = total(outcome.usage.timed_tokens for outcome in outcomes)
    if tokens is None:
        return None
    first = min(at for outcome in outcomes if (at := outcome.usage.first_sent_at) is not None)
    last = max(at for outcome in outcomes if (at := outcome.usage.last_token_at) is not None)
    return _rate(tokens, (last - first) * NS)


def wall_s(outcomes: Sequence[Outcome]) -> float | None:
    """Last end − first start of the attempts, by the wall clock of the machines they ran on."""
    if not outcomes:
        return None
    return (max(outcome.ended_at for outcome in outcomes) - min(outcome.began_at for outcome in outcomes)) * NS


def agent_goodput(outcomes: Sequence[Outcome], limits: Mapping[str, float]) -> float | None:
    """Attempts per second that were right and met every objective; with no limits, right ones per second."""
    good = sum(outcome.passed is True and meets(outcome, limits) for outcome in outcomes)
    elapsed = wall_s(outcomes)
    return None if elapsed is None else _rate(good, elapsed)


def _rate(count: int, seconds: float) -> float | None:
    return count / seconds if seconds > 0 else None
