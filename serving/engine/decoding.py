"""One answer on its way from tokens to deltas: text, the constraint, and the end."""

from serving.checkpoint.tokenizer import Tokenizer
from serving.engine.detokenizer import Detokenizer
from serving.request import FinishReason, TokenDelta, TokenLogprob
from serving.sequence import Sequence


class Decoding:
    """Takes a sequence's tokens over and collects what a step made of them."""

    def __init__(self, sequence: Sequence, tokenizer: Tokenizer) -> None:
        self.sequence = sequence
        self._tokenizer = tokenizer
        self._eos_ids = tokenizer.eos_ids
        params = sequence.request.params
        self._detokenizer = Detokenizer(tokenizer, params.stop, params.stop_until)
        self._text: list[str] = []
        self._token_ids: list[int] = []
        self._logprobs: list[TokenLogprob] = []

    def fork(self, sequence: Sequence) -> "Decoding":
        """For another answer, which has the same tokens; those that were not reported are reported for it too."""
        answer = Decoding(sequence, self._tokenizer)
        for token_id in sequence.token_ids[sequence.num_prompt_tokens :]:
            answer._token_ids.append(token_id)
            answer._text.append(answer._detokenizer.push(token_id))
        return answer

    def take(self, token_id: int, logprob: TokenLogprob | None = None) -> FinishReason | None:
        """Append a token; why the answer ends with it, if it does. Raises what the constraint raises."""
        sequence = self.sequence
        sequence.token_ids.append(token_id)
        self._token_ids.append(token_id)
        if logprob is not None:
            self._logprobs.append(logprob)
        reason = self._finish_reason(token_id)
        if reason != "stop" or token_id not in self._eos_ids:
            self._text.append(self._detokenizer.push(token_id))
        return "stop" if self._detokenizer.stopped else reason

    def take_forced(self) -> tuple[int, FinishReason | None]:
        """Append the tokens that the constraint leaves no choice about: how many, and the end if it is reached.

        A request that wants log probabilities gets each token from the model.
        """
        constraint, params = self.sequence.constraint, self.sequence.request.params
        if constraint is None or params.logprobs is not None:
            return 0, None
        count = 0
        for token_id in constraint.forced():
            if self.sequence.is_full:
                break
            count += 1
            reason = self.take(token_id)
            if reason is not None:
                return count, reason
        return count, None

    def delta(self, reason: FinishReason | None = None, error: str | None = None) -> TokenDelta:
        """What has come since the last delta; with a reason, it is the last one."""
        if reason is not None:
            self._text.append(self._detokenizer.flush())
        delta = TokenDelta(
            text="".join(self._text),
            token_ids=tuple(self._token_ids),
            prompt_tokens=self.sequence.num_prompt_tokens,
            cached_tokens=self.sequence.cached_tokens or 0,
            completion_tokens=self.sequence.num_completion_tokens,
            index=self.sequence.index,
            logprobs=tuple(self._logprobs),
            finish_reason=reason,
            error=error,
        )
        self._text, self._token_ids, self._logprobs = [], [], []
        return delta

    def _finish_reason(self, token_id: int) -> FinishReason | None:
        constraint, params = self.sequence.constraint, self.sequence.request.params
        if constraint is not None:
            constraint.accept(token_id)  # an end of sequence too, which it takes only where it may end
            if constraint.finished:
                return "stop"
        elif token_id in self._eos_ids and not params.ignore_eos:
            return "stop"
        return "length" if self.sequence.is_full else None
