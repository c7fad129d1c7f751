"""The metrics of one model call, in seconds, None where the call does not define them."""

from collections.abc import Callable
from itertools import pairwise

from agentbench.core.trace import ModelCall

NS = 1e-9
"""Seconds in a nanosecond."""

CallMetric = Callable[[ModelCall], float | None]


def completion_tokens(call: ModelCall) -> int | None:
    """The server's count; else the sum over chunks, which is the least that it was, else None."""
    if call.completion_tokens is not None:
        return call.completion_tokens
    return sum(call.chunk_tokens) if call.chunk_tokens else None


def ttft_s(call: ModelCall) -> float | None:
    """Time to first token: the first chunk of which a reader sees something − sent_at; queueing, prefill and decoding
    up to it."""
    return (shown[0] - call.sent_at) * NS if (shown := _shown(call)) else None


def first_token_s(call: ModelCall) -> float | None:
    """The first chunk at which the server's own count of tokens is above 0 − sent_at; None where it did not count in
    every chunk. Earlier than the TTFT where text was held back."""
    if call.completion_tokens is None:
        return None
    counted = zip(call.chunk_at, call.chunk_tokens, strict=False)
    return next(((at - call.sent_at) * NS for at, tokens in counted if tokens > 0), None)


def held_back_s(call: ModelCall) -> float | None:
    """The first token, where its text was held back: where it is not the TTFT."""
    return None if (first := first_token_s(call)) == ttft_s(call) else first


def ttft_from_intent_s(call: ModelCall) -> float | None:
    """The chunk of the TTFT − intended_at, which a saturated client cannot hide queueing from."""
    return (shown[0] - call.intended_at) * NS if (shown := _shown(call)) else None


def _shown(call: ModelCall) -> tuple[int, ...]:
    """The chunks from the first one on of which a reader sees something."""
    return call.chunk_at[call.silent_chunks :]


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
    """Time per output token: (last chunk − the chunk of the TTFT) / tokens that came after that chunk. Where chunks
    carry no counts these are all completion tokens but one.

    None for an answer that came in one chunk (one that was not streamed): its tokens' times are not known.
    """
    shown = _shown(call)
    after = sum(call.chunk_tokens[call.silent_chunks + 1 :]) if call.chunk_tokens else (call.completion_tokens or 0) - 1
    return (shown[-1] - shown[0]) * NS / after if len(shown) > 1 and after > 0 else None


def gaps_s(call: ModelCall) -> list[float]:
    """Inter-token latencies: the gaps between the chunks that brought tokens."""
    return [(later - earlier) * NS for earlier, later in pairwise(call.chunk_at)]


CALL_METRICS: dict[str, CallMetric] = {
    "ttft": ttft_s,
    "first_token": first_token_s,
    "ttft_from_intent": ttft_from_intent_s,
    "tpot": tpot_s,
    "latency": latency_s,
}
