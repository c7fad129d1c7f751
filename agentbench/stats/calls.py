"""The metrics of one model call, in seconds, None where the call does not define them."""

from collections.abc import Callable

from agentbench.core.errors import unknown_name
from agentbench.core.trace import ModelCall

NS = 1e-9
"""Seconds in a nanosecond."""

CallMetric = Callable[[ModelCall], float | None]


def completion_tokens(call: ModelCall) -> int | None:
    """The server's count, else the sum over chunks, else None."""
    if call.completion_tokens is not None:
        return call.completion_tokens
    return sum(call.chunk_tokens) if call.chunk_tokens else None


def ttft_s(call: ModelCall) -> float | None:
    """Time to first token: the first chunk that carries one − sent_at; queueing, prefill and one decode."""
    return (call.chunk_at[0] - call.sent_at) * NS if call.chunk_at else None


def ttft_from_intent_s(call: ModelCall) -> float | None:
    """First such chunk − intended_at, which a saturated client cannot hide queueing from."""
    return (call.chunk_at[0] - call.intended_at) * NS if call.chunk_at else None


def last_token_at(call: ModelCall) -> int | None:
    """The last token chunk; of an answer in one piece, whose tokens have no times, its end."""
    if call.chunk_at:
        return call.chunk_at[-1]
    return call.ended_at if call.error is None and completion_tokens(call) else None


def latency_s(call: ModelCall) -> float | None:
    """End to end: the last token − sent_at."""
    ended_at = last_token_at(call)
    return None if ended_at is None else (ended_at - call.sent_at) * NS


def tpot_s(call: ModelCall) -> float | None:
    """Time per output token after the first: (latency − TTFT) / (n − 1) for n > 1 completion tokens.

    None for an answer that came in one chunk (one that was not streamed): its tokens' times are not known.
    """
    tokens = completion_tokens(call)
    if tokens is None or tokens < 2 or len(call.chunk_at) < 2:
        return None
    return (call.chunk_at[-1] - call.chunk_at[0]) * NS / (tokens - 1)


CALL_METRICS: dict[str, CallMetric] = {
    "ttft": ttft_s,
    "ttft_from_intent": ttft_from_intent_s,
    "tpot": tpot_s,
    "latency": latency_s,
}


def call_metric(name: str) -> CallMetric:
    if name not in CALL_METRICS:
        raise unknown_name("metric", name, CALL_METRICS)
    return CALL_METRICS[name]
