"""The metrics of one model call in seconds; None when the call does not define them."""

from collections.abc import Callable
from itertools import pairwise

from agentbench.core.trace import ModelCall

NS = 1e-9
"""Seconds in a nanosecond."""

CallMetric = Callable[[ModelCall], float | None]


def completion_tokens(call: ModelCall) -> int | None:
    """The server's count, otherwise the sum over chunks (a lower bound), otherwise None."""
    if call.completion_tokens is not None:
        return call.completion_tokens
    return sum(call.chunk_tokens) if call.chunk_tokens else None


def ttft_s(call: ModelCall) -> float | None:
    """Time to first token: the first chunk visible to a reader − sent_at. It includes queueing, prefill and decoding up
    to that chunk.
    """
    return (shown[0] - call.sent_at) * NS if (shown := _shown(call)) else None


def first_token_s(call: ModelCall) -> float | None:
    """Time to the first chunk with a token count above 0, from sent_at; None when the server did not count in every
    chunk. It is earlier than the TTFT when text was held back.
    """
    if call.completion_tokens is None:
        return None
    counted = zip(call.chunk_at, call.chunk_tokens, strict=False)
    return next(((at - call.sent_at) * NS for at, tokens in counted if tokens > 0), None)


def held_back_s(call: ModelCall) -> float | None:
    """The time to first token when its text was held back, so that it differs from the TTFT."""
    return None if (first := first_token_s(call)) == ttft_s(call) else first


def ttft_from_intent_s(call: ModelCall) -> float | None:
    """The TTFT measured from intended_at, in which a saturated client can't hide queueing."""
    return (shown[0] - call.intended_at) * NS if (shown := _shown(call)) else None


def _shown(call: ModelCall) -> tuple[int, ...]:
    """The chunks from the first visible one on."""
    return call.chunk_at[call.silent_chunks :]


def last_token_at(call: ModelCall) -> int | None:
    """The time of the last token chunk. For an answer in one piece, whose tokens have no times, it is the end."""
    if call.chunk_at:
        return call.chunk_at[-1]
    return call.ended_at if call.error is None and completion_tokens(call) else None


def latency_s(call: ModelCall) -> float | None:
    """End to end: the last token − sent_at."""
    ended_at = last_token_at(call)
    return None if ended_at is None else (ended_at - call.sent_at) * NS


def tpot_s(call: ModelCall) -> float | None:
    """Time per output token: (last chunk − first visible chunk) / tokens after the first visible chunk.

    Without counts per chunk, the divisor is all completion tokens but one. None for an answer in one chunk (not
    streamed), whose token times are unknown.
    """
    shown = _shown(call)
    after = sum(call.chunk_tokens[call.silent_chunks + 1 :]) if call.chunk_tokens else (call.completion_tokens or 0) - 1
    return (shown[-1] - shown[0]) * NS / after if len(shown) > 1 and after > 0 else None


def gaps_s(call: ModelCall) -> list[float]:
    """Inter-token latencies: the gaps between chunks with tokens."""
    return [(later - earlier) * NS for earlier, later in pairwise(call.chunk_at)]


CALL_METRICS: dict[str, CallMetric] = {
    "ttft": ttft_s,
    "first_token": first_token_s,
    "ttft_from_intent": ttft_from_intent_s,
    "tpot": tpot_s,
    "latency": latency_s,
}
