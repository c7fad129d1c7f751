"""Counts a request's tokens as they arrive, and notes when."""

from serving.core import FinishReason, TokenDelta


class Tally:
    """Counts the deltas of a request's answers as they come. Times are of `time.monotonic`."""

    def __init__(self, answers: int, started_at: float) -> None:
        self.started_at = started_at
        self.first_token_at: float | None = None
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.finish_reasons: list[FinishReason | None] = [None] * answers
        self._completion_tokens = [0] * answers
        self._latest_at: list[float | None] = [None] * answers

    def add(self, delta: TokenDelta, at: float) -> float | None:
        """The seconds that each of the delta's tokens took; None for an answer's first ones."""
        index = delta.index
        self.prompt_tokens = delta.prompt_tokens
        self.cached_tokens = max(self.cached_tokens, delta.cached_tokens)
        self.finish_reasons[index] = delta.finish_reason
        self._completion_tokens[index] = delta.completion_tokens
        if not delta.token_ids:
            return None
        if self.first_token_at is None:
            self.first_token_at = at
        before, self._latest_at[index] = self._latest_at[index], at
        return None if before is None else (at - before) / len(delta.token_ids)

    @property
    def completion_tokens(self) -> int:
        """Of all answers."""
        return sum(self._completion_tokens)

    @property
    def ended(self) -> bool:
        """Nothing more is wanted: every answer has ended, or one of them was given up."""
        return all(self.finish_reasons) or "abort" in self.finish_reasons

    def usage(self) -> dict[str, object]:
        """In OpenAI's shape. The prompt counts once, however many answers it has."""
        completion_tokens = self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }
