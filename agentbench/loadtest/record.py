"""The stored record of a load test's request: the raw facts from which all figures are computed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agentbench.core.trace import ModelCall
from agentbench.http.exchange import Exchange, refusal
from agentbench.loadtest.workload import Turn
from agentbench.openai_stream import StreamedAnswer, decode


@dataclass(slots=True, kw_only=True)
class TurnExchange(Exchange):
    """`intended_at` is the scheduled send time (`perf_counter_ns`)."""

    index: int
    session: int
    turn: int
    request: Turn
    warmup: bool
    intended_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of a request.

    Times are nanoseconds from the start of the measurement (`perf_counter_ns` − its start), negative in the warm-up.
    `sent_at` equals `ended_at` when nothing could be sent. `chunk_at` has the reads that brought tokens, `chunk_tokens`
    the tokens of each. `counted` means that the server counted in every chunk; otherwise each event counts as one
    token. The first `silent_chunks` are invisible to a reader. `completion_tokens` is the server's count. Without it,
    `tokens_assumed` is set and the sum over chunks is used. `error` is a kind, None for a complete answer; an answer
    without chunks arrived in one piece. `digest` is the start of the answer's SHA-256.
    """

    index: int
    session: int
    turn: int
    warmup: bool
    intended_at: int
    sent_at: int
    ended_at: int
    chunk_at: tuple[int, ...]
    chunk_tokens: tuple[int, ...]
    counted: bool
    asked_prompt_tokens: int | None
    asked_output_tokens: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    tokens_assumed: bool
    finish_reason: str | None
    status: int
    retries: int
    digest: str
    error: str | None
    detail: str
    silent_chunks: int = 0

    def as_call(self) -> ModelCall:
        """The record as a model call, for which `stats` defines metrics."""
        return ModelCall(
            messages=(),
            request={},
            reply={},
            finish_reason=self.finish_reason,
            intended_at=self.intended_at,
            sent_at=self.sent_at,
            ended_at=self.ended_at,
            chunk_at=self.chunk_at,
            chunk_tokens=self.chunk_tokens if self.counted or self.tokens_assumed else (),
            silent_chunks=self.silent_chunks,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=None if self.tokens_assumed else self.completion_tokens,
            error=self.error,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def record_of_json(data: Mapping[str, Any]) -> Record:
    lists = {name: tuple(data[name]) for name in ("chunk_at", "chunk_tokens")}
    return Record(**{**data, **lists})


def record_of(exchange: TurnExchange, start: int) -> Record:
    """Decodes an exchange; times are relative to `start`, a `perf_counter_ns` reading."""
    answer = decode(exchange.pieces) if exchange.status == 200 else StreamedAnswer()
    chunks = answer.chunks()
    error, detail = _error(exchange, answer)
    assumed = answer.completion_tokens is None
    return Record(
        index=exchange.index,
        session=exchange.session,
        turn=exchange.turn,
        warmup=exchange.warmup,
        intended_at=exchange.intended_at - start,
        sent_at=(exchange.sent_at or exchange.ended_at) - start,
        ended_at=exchange.ended_at - start,
        chunk_at=tuple(at - start for at in chunks.at),
        chunk_tokens=chunks.tokens,
        counted=chunks.counted,
        asked_prompt_tokens=exchange.request.prompt_tokens,
        asked_output_tokens=exchange.request.output_tokens,
        prompt_tokens=answer.prompt_tokens,
        cached_tokens=answer.cached_tokens,
        completion_tokens=(sum(chunks.tokens) or None) if assumed else answer.completion_tokens,
        tokens_assumed=assumed,
        finish_reason=answer.finish_reason,
        status=exchange.status,
        retries=exchange.retries,
        digest=answer.digest,
        error=error,
        detail=detail,
        silent_chunks=chunks.silent,
    )


def _error(exchange: TurnExchange, answer: StreamedAnswer) -> tuple[str | None, str]:
    """Kind and detail of the error; (None, "") for a complete answer."""
    if exchange.error:
        return exchange.error, exchange.detail
    if exchange.status != 200:
        return f"HTTP {exchange.status}", refusal(exchange.body)
    if answer.error:
        return "stream error", answer.error
    if not answer.is_complete:
        return "broken", "the stream ended before its answer was complete"
    return (None, "") if answer.chunks().at or answer.carried else ("empty", "an answer without a token")
