"""What a run's model calls say of the server: latencies, throughput, goodput."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentbench.score import Attempt
from agentbench.stats.calls import NS, completion_tokens, latency_s, tpot_s, ttft_s
from agentbench.stats.objectives import meets


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


def summarize_serving(attempts: Sequence[Attempt], limits: Mapping[str, float] | None = None) -> ServingSummary:
    """The summary of a run's attempts; `limits` are its objectives, metric to limit in seconds."""
    calls = [call for attempt in attempts for call in attempt.trace.model_calls]
    answered = [call for call in calls if call.error is None]
    ttft = [value for call in answered if (value := ttft_s(call)) is not None]
    tpot = [value for call in answered if (value := tpot_s(call)) is not None]
    latency = [value for call in answered if (value := latency_s(call)) is not None]
    return ServingSummary(
        model_calls=len(calls),
        ttft_p50_s=percentile(ttft, 50),
        ttft_p90_s=percentile(ttft, 90),
        ttft_p95_s=percentile(ttft, 95),
        ttft_p99_s=percentile(ttft, 99),
        tpot_p50_s=percentile(tpot, 50),
        tpot_p95_s=percentile(tpot, 95),
        latency_p50_s=percentile(latency, 50),
        latency_p95_s=percentile(latency, 95),
        output_tokens_per_s=output_throughput(attempts),
        prompt_tokens=_total(call.prompt_tokens for call in calls),
        cached_tokens=_total(call.cached_tokens for call in calls),
        completion_tokens=_total(completion_tokens(call) for call in calls),
        wall_s=wall_s(attempts),
        agent_goodput_per_s=agent_goodput(attempts, limits or {}),
    )


def output_throughput(attempts: Sequence[Attempt]) -> float | None:
    """Σ completion tokens / (last token − first send) over all calls, in tokens per second."""
    timed = [(attempt, call) for attempt in attempts for call in attempt.trace.model_calls if call.chunk_at]
    tokens = _total(completion_tokens(call) for _, call in timed)
    if tokens is None:
        return None
    first = min(attempt.wall_anchor_ns + call.sent_at for attempt, call in timed)
    last = max(attempt.wall_anchor_ns + call.chunk_at[-1] for attempt, call in timed)
    return _rate(tokens, (last - first) * NS)


def wall_s(attempts: Sequence[Attempt]) -> float | None:
    """Last end − first start of the attempts, by the wall clock of the machines they ran on."""
    if not attempts:
        return None
    first = min(attempt.wall_anchor_ns + attempt.started_at for attempt in attempts)
    last = max(attempt.wall_anchor_ns + attempt.ended_at for attempt in attempts)
    return (last - first) * NS


def agent_goodput(attempts: Sequence[Attempt], limits: Mapping[str, float]) -> float | None:
    """Attempts per second that were right and met every objective; with no limits, right ones per second."""
    good = sum(1 for attempt in attempts if is_right(attempt) and meets(attempt, limits))
    elapsed = wall_s(attempts)
    return None if elapsed is None else _rate(good, elapsed)


def is_right(attempt: Attempt) -> bool:
    return attempt.failure is None and attempt.passed is True


def _rate(count: int, seconds: float) -> float | None:
    return count / seconds if seconds > 0 else None


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
