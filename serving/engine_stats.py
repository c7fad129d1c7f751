"""The engine's load and what it has done so far, for /health and /metrics."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Sequences by state and KV blocks now; tokens and events since the start."""

    running: int = 0
    waiting: int = 0
    blocks_free: int = 0  # of them, those with contents that a prefix may hit count as free
    blocks_total: int = 0
    prompt_tokens: int = 0  # of requests admitted, the cached included
    cached_tokens: int = 0  # of prompt_tokens, those found in the prefix cache
    generation_tokens: int = 0
    forced_tokens: int = 0  # of generation_tokens, those appended because the grammar allowed no other
    drafted_tokens: int = 0  # proposed by speculation
    accepted_tokens: int = 0  # of drafted_tokens, those that the model confirmed
    preemptions: int = 0
    steps: int = 0
