"""Counts a request's tokens and records their times."""

from serving.core import FinishReason, TokenDelta


class RequestUsage:
    """The token counts, times and finish reasons of a request's answers. Times are in seconds of `time.monotonic`."""

    def __init__(self, num_answers: int, started_at: float) -> None:
        self.started_at = started_at
        self.first_token_at: float | None = None
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.finish_reasons: list[FinishReason | None] = [None] * num_answers
        self._completion_tokens = [0] * num_answers
        self._latest_at: list[float | None] = [None] * num_answers

    def add(self, delta: TokenDelta, at: float) -> float | None:
        """Count a delta that arrived at `at`.

        Returns the time per token since the answer's previous delta with tokens, in seconds; None if there is none or
        the delta has no tokens.
        """
        index = delta.index
        self.prompt_tokens = delta.prompt_tokens
        self.cached_tokens = max(self.cached_tokens, delta.cached_tokens)
        self.finish_reasons[index] = delta.finish_reason
        self._completion_tokens[index] = delta.completion_tokens
        if not delta.token_ids:
            return None
        if self.first_token_at is None:
            self.first_token_at = at
        previous, self._latest_at[index] = self._latest_at[index], at
        return None if previous is None else (at - previous) / len(delta.token_ids)

    @property
    def completion_tokens(self) -> int:
        """The number of generated tokens, over all answers."""
        return sum(self._completion_tokens)

    @property
    def is_finished(self) -> bool:
        """Whether all answers have ended, or one was aborted: a single abort ends the whole request."""
        return all(self.finish_reasons) or "abort" in self.finish_reasons

    def to_json(self) -> dict[str, object]:
        """OpenAI's `usage` object. The prompt's tokens count once, also with several answers."""
        completion_tokens = self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }
