"""Computes the figures of a load point, and the requests in flight, from its records.

The formulas for a single call are in `agentbench.stats`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from agentbench.core.attempt import Attempt
from agentbench.core.trace import Failure, Trace
from agentbench.loadtest.record import Record
from agentbench.stats.calls import (
    NS,
    completion_tokens,
    first_token_s,
    gaps_s,
    last_token_at,
    latency_s,
    tpot_s,
    ttft_from_intent_s,
    ttft_s,
)
from agentbench.stats.outcomes import meets, outcome_of
from agentbench.stats.serving import output_throughput, percentile

QUANTILES = (50, 90, 95, 99)

Figures = dict[str, Any]


def summarize(rounds: Sequence[Sequence[Record]], limits: Mapping[str, float]) -> Figures:
    """All figures of a point: times in seconds (`_s`), rates per second (`_per_s`), None where a figure is undefined.

    Warm-up requests are left out and counted. Percentiles are over answered requests, those of `itl` over the pooled
    gaps. With several rounds, latencies are pooled, and rates are over the concatenated rounds.
    """
    apart = [measured(each) for each in rounds]
    records = end_to_end(apart)
    answered = [record for record in records if record.error is None]
    calls = [record.as_call() for record in answered]
    window = window_s(records)
    within = sum(meets(outcome_of(as_attempt(record)), limits) for record in answered)
    output = _all_of([completion_tokens(call) for call in calls])
    prompt = _all_of([call.prompt_tokens for call in calls])
    throughput = output_throughput([outcome_of(as_attempt(record)) for record in answered])
    return {
        **_counts(rounds, records),
        **_quantiles("ttft", [ttft_s(call) for call in calls]),
        **_quantiles("first_token", [first_token_s(call) for call in calls]),
        **_quantiles("ttft_from_intent", [ttft_from_intent_s(call) for call in calls]),
        **_quantiles("tpot", [tpot_s(call) for call in calls]),
        **_quantiles("itl", [gap for call in calls for gap in gaps_s(call)]),
        **_quantiles("latency", [latency_s(call) for call in calls]),
        **_quantiles("send_lag", [(record.sent_at - record.intended_at) * NS for record in answered]),
        "window_s": window,
        "output_tokens_per_s": None if output is None else throughput,
        "total_tokens_per_s": None if prompt is None or output is None else _rate(prompt + output, window),
        "requests_per_s": _rate(len(answered), window),
        "goodput_per_s": _rate(within, window),
        "within_objectives": within,
        "mean_outstanding": mean_outstanding(apart),
        "most_outstanding": most_outstanding(apart),
        **_tokens(answered),
    }


def measured(records: Sequence[Record]) -> list[Record]:
    """The records without the warm-up and without interrupted requests."""
    return [record for record in records if not record.warmup and record.error != "interrupted"]


def as_attempt(record: Record) -> Attempt:
    """A request as an attempt with one model call, for which objectives and throughput are defined."""
    return Attempt(
        case_id=str(record.index),
        cluster=str(record.session),
        repeat=0,
        seed=0,
        tries=1 + record.retries,
        started_at=record.sent_at,
        ended_at=record.ended_at if (at := last_token_at(record.as_call())) is None else at,
        wall_anchor_ns=0,
        trace=Trace(steps=(record.as_call(),)),
        failure=Failure(kind="infra", message=record.error) if record.error else None,
    )


def window_s(records: Sequence[Record]) -> float | None:
    """Time from the first send to the last token, over the answered requests."""
    answered = _ends(records)
    if not answered:
        return None
    return (max(at for _, at in answered) - min(each.sent_at for each, _ in answered)) * NS


def _ends(records: Sequence[Record]) -> list[tuple[Record, int]]:
    """The answered requests, each with the time of its last token."""
    calls = ((record, last_token_at(record.as_call())) for record in records if record.error is None)
    return [(record, at) for record, at in calls if at is not None]


def end_to_end(rounds: Sequence[Sequence[Record]]) -> list[Record]:
    """The records of all rounds, with their times shifted so that a round starts at the last token of the previous one.

    The time between rounds (the other server's turn) is thus in no window.
    """
    records: list[Record] = []
    end = 0
    for each in rounds:
        answered = _ends(each)
        begin = min((record.sent_at for record, _ in answered), default=0)
        records += [moved(record, end - begin) for record in each]
        end += max((at for _, at in answered), default=begin) - begin
    return records


def moved(record: Record, by: int) -> Record:
    return replace(
        record,
        intended_at=record.intended_at + by,
        sent_at=record.sent_at + by,
        ended_at=record.ended_at + by,
        chunk_at=tuple(at + by for at in record.chunk_at),
    )


def _counts(rounds: Sequence[Sequence[Record]], records: Sequence[Record]) -> Figures:
    every = [record for each in rounds for record in each]
    errors = Counter(record.error for record in records if record.error)
    return {
        "requests": len(records),
        "answered": len(records) - errors.total(),
        "errors": errors.total(),
        "errors_by_kind": dict(sorted(errors.items())),
        "warmup_requests": sum(record.warmup for record in every),
        "interrupted": sum(record.error == "interrupted" for record in every),
        "retries": sum(record.retries for record in every),
        "in_one_piece": sum(record.error is None and not record.chunk_at for record in records),
    }


def _quantiles(name: str, values: Sequence[float | None]) -> Figures:
    defined = [value for value in values if value is not None]
    return {f"{name}_p{q}_s": percentile(defined, q) for q in QUANTILES}


def _tokens(answered: Sequence[Record]) -> Figures:
    prompt = _all_of([record.prompt_tokens for record in answered])
    cached = [record.cached_tokens for record in answered if record.cached_tokens is not None]
    planned = [record for record in answered if record.asked_prompt_tokens is not None]
    counted_in = [record for record in planned if record.prompt_tokens is not None]
    counted_out = [record for record in planned if record.completion_tokens is not None and not record.tokens_assumed]
    return {
        "prompt_tokens": prompt,
        "cached_tokens": sum(cached) if cached else None,
        "completion_tokens": _all_of([record.completion_tokens for record in answered]),
        "uncounted_prompts": sum(record.prompt_tokens is None for record in answered),
        "uncounted_completions": sum(record.completion_tokens is None for record in answered),
        "prefix_hit_share": sum(cached) / prompt if cached and prompt else None,
        "prompt_tokens_as_asked": _share([r.prompt_tokens == r.asked_prompt_tokens for r in counted_in]),
        "output_tokens_as_asked": _share([r.completion_tokens == r.asked_output_tokens for r in counted_out]),
        "tokens_assumed": any(record.tokens_assumed for record in answered),
    }


def _all_of(counts: Sequence[int | None]) -> int | None:
    """The sum; None when a count is missing, since a partial sum would be wrong."""
    present = [count for count in counts if count is not None]
    return sum(present) if len(present) == len(counts) else None


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if found else None


def _rate(count: float, seconds: float | None) -> float | None:
    return count / seconds if seconds else None


def most_outstanding(rounds: Sequence[Sequence[Record]]) -> int:
    """The most requests in flight at any moment of any round."""
    return max((max(accumulate(step for _, step in _steps(records)), default=0) for records in rounds), default=0)


def mean_outstanding(rounds: Sequence[Sequence[Record]]) -> float | None:
    """The mean number of requests in flight, in each round from the first intended send to the last end (Little: Σ
    durations / time).
    """
    time = sum(max(r.ended_at for r in records) - min(r.intended_at for r in records) for records in rounds if records)
    total = sum(record.ended_at - record.intended_at for records in rounds for record in records)
    return total / time if time else None


def found_outstanding(records: Sequence[Record]) -> list[int]:
    """For each request in order, the number of requests in flight at its intended send."""
    now = 0
    found = []
    for _, step in _steps(records):
        if step > 0:
            found.append(now)
        now += step
    return found


def _steps(records: Sequence[Record]) -> list[tuple[int, int]]:
    """The time-ordered changes of the number in flight: +1 at an intended send, −1 at an end; an end comes first on a
    tie.
    """
    wanted = [(record.intended_at, 1) for record in records]
    return sorted([*wanted, *((record.ended_at, -1) for record in records)])
