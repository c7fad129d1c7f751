"""From sampled tokens to text: detokenization, stop strings, forced tokens, and drafts for speculative decoding.

The drafts are found by prompt lookup: Saxena, "Prompt Lookup Decoding" (2023).
"""

import codecs
from collections.abc import Collection
from collections.abc import Sequence as Seq

from serving.checkpoint.tokenizer import Tokenizer
from serving.core import FinishReason, Sequence, TokenDelta, TokenLogprob

MAX_NGRAM, MIN_NGRAM = 4, 2  # length of the ending that prompt lookup searches, in tokens


class AnswerDecoder:
    """Appends tokens to a sequence and collects its next delta."""

    def __init__(self, sequence: Sequence, tokenizer: Tokenizer) -> None:
        self.sequence = sequence
        self._tokenizer = tokenizer
        self._eos_ids = tokenizer.eos_ids
        params = sequence.request.params
        self._detokenizer = Detokenizer(tokenizer, params.stop, params.stop_until, params.shown)
        self._text: list[str] = []
        self._token_ids: list[int] = []
        self._logprobs: list[TokenLogprob] = []

    def fork(self, sequence: Sequence) -> "AnswerDecoder":
        """The decoder of a forked answer. Its first delta has all tokens that the sequence has generated so far."""
        fork = AnswerDecoder(sequence, self._tokenizer)
        for token_id in sequence.token_ids[sequence.num_prompt_tokens :]:
            fork._token_ids.append(token_id)
            fork._text.append(fork._detokenizer.push(token_id))
        return fork

    def append(self, token_id: int, logprob: TokenLogprob | None = None) -> FinishReason | None:
        """Append a token. Returns the finish reason if it ends the answer. Raises what the constraint raises."""
        sequence = self.sequence
        sequence.token_ids.append(token_id)
        self._token_ids.append(token_id)
        if logprob is not None:
            self._logprobs.append(logprob)
        reason = self._finish_reason(token_id)
        if reason != "stop" or token_id not in self._eos_ids:
            self._text.append(self._detokenizer.push(token_id))
        return "stop" if self._detokenizer.stopped else reason

    def append_forced(self) -> tuple[int, FinishReason | None]:
        """Append the tokens that the constraint forces. Returns their number, and the finish reason or None.

        Does nothing if the request asks for log probabilities: the model must then compute each token.
        """
        constraint, params = self.sequence.constraint, self.sequence.request.params
        if constraint is None or params.logprobs is not None:
            return 0, None
        count = 0
        for token_id in constraint.forced():
            if self.sequence.is_full:
                break
            count += 1
            reason = self.append(token_id)
            if reason is not None:
                return count, reason
        return count, None

    def delta(self, reason: FinishReason | None = None, error: str | None = None) -> TokenDelta:
        """The tokens and text since the previous delta. A delta with a reason is the answer's last one."""
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
            constraint.accept(token_id)  # raises for an end of sequence that the grammar does not allow
            if constraint.finished:
                return "stop"
        elif token_id in self._eos_ids and not params.ignore_eos:
            return "stop"
        return "length" if self.sequence.is_full else None


class Detokenizer:
    """Decodes one sequence token by token. The joined pieces equal `Tokenizer.decode`, up to the stop string."""

    def __init__(
        self, tokenizer: Tokenizer, stops: Seq[str] = (), until: str = "", shown: Collection[int] = ()
    ) -> None:
        self._tokenizer = tokenizer
        self._hidden = tokenizer.special_ids.difference(shown)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopStrings(stops, until)

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found. After that all text is dropped."""
        return self._stops.found

    def push(self, token_id: int) -> str:
        """Add a token. Returns the complete characters that can't belong to a stop string."""
        if token_id in self._hidden:
            return ""
        return self._stops.push(self._decoder.decode(self._tokenizer.token_bytes(token_id)))

    def flush(self) -> str:
        """The text that was held back, at the end of the answer. An incomplete character becomes U+FFFD."""
        return self._stops.push(self._decoder.decode(b"", final=True)) + self._stops.flush()


class StopStrings:
    """Passes text through up to the first stop string that is complete. Text that may begin a stop string is held back.

    If the text `until` is complete before any stop string, all later text passes through.
    The result does not depend on how the text is split into pieces.
    """

    def __init__(self, stops: Seq[str], until: str = "") -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._until = until if self._stops and until not in self._stops else ""
        self._patterns = (*self._stops, self._until) if self._until else self._stops
        self._buffer = ""
        self.found = False

    def push(self, text: str) -> str:
        """Add text. Returns the text that can't belong to a stop string; nothing after a stop string was found."""
        if self.found or not self._patterns:
            return "" if self.found else text
        self._buffer += text
        matches = [(at + len(stop), at, stop) for stop in self._patterns if (at := self._buffer.find(stop)) >= 0]
        if matches:
            _, at, match = min(matches)
            if match == self._until:
                self._patterns = ()
                return self._pop(len(self._buffer))
            self.found = True
            return self._pop(at)
        return self._pop(len(self._buffer) - self._partial_match_length())

    def flush(self) -> str:
        """The text that was held back, at the end of the answer."""
        return "" if self.found else self._pop(len(self._buffer))

    def _pop(self, count: int) -> str:
        text, self._buffer = self._buffer[:count], self._buffer[count:]
        return text

    def _partial_match_length(self) -> int:
        """The length of the longest suffix of the buffer that begins a stop string or `until`."""
        longest = min(len(self._buffer), max(map(len, self._patterns)) - 1)
        return next((length for length in range(longest, 0, -1) if self._begins_pattern(length)), 0)

    def _begins_pattern(self, length: int) -> bool:
        return any(pattern.startswith(self._buffer[-length:]) for pattern in self._patterns)


def propose_drafts(token_ids: Seq[int], max_drafts: int) -> tuple[int, ...]:
    """Up to `max_drafts` tokens: those after the latest earlier occurrence of the sequence's last tokens.

    Endings of `MAX_NGRAM` tokens are searched first, then shorter ones down to `MIN_NGRAM`.
    """
    if max_drafts < 1:
        return ()
    for length in range(min(MAX_NGRAM, len(token_ids) - 1), MIN_NGRAM - 1, -1):
        start = _latest_occurrence(token_ids, length)
        if start is not None:
            return tuple(token_ids[start + length : start + length + max_drafts])
    return ()


def _latest_occurrence(token_ids: Seq[int], length: int) -> int | None:
    """The start of the latest earlier occurrence of the last `length` tokens; it may overlap them."""
    ending = list(token_ids[-length:])
    last = ending[-1]
    for stop in range(len(token_ids) - 1, length - 1, -1):
        if token_ids[stop - 1] == last and list(token_ids[stop - length : stop]) == ending:
            return stop - length
    return None
