"""From sampled tokens to text: detokenization, stop strings, forced tokens, and guesses at the next tokens.

The guesses are prompt lookup: Saxena, "Prompt Lookup Decoding" (2023).
"""

import codecs
from collections.abc import Sequence as Seq

from serving.checkpoint.tokenizer import Tokenizer
from serving.core import FinishReason, Sequence, TokenDelta, TokenLogprob

LONGEST, SHORTEST = 4, 2  # tokens that must have occurred before


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


class Detokenizer:
    """One sequence's text. The pieces joined equal `Tokenizer.decode` of the ids, up to the stop string."""

    def __init__(self, tokenizer: Tokenizer, stops: Seq[str] = (), until: str = "") -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopStrings(stops, until)

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found; nothing more comes."""
        return self._stops.found

    def push(self, token_id: int) -> str:
        """The text that this token makes certain: whole characters that are not part of a stop string."""
        if token_id in self._tokenizer.special_ids:
            return ""
        return self._stops.push(self._decoder.decode(self._tokenizer.token_bytes(token_id)))

    def flush(self) -> str:
        """The rest, at the end; an incomplete character becomes U+FFFD."""
        return self._stops.push(self._decoder.decode(b"", final=True)) + self._stops.flush()


class StopStrings:
    """Passes text on up to the stop string that is complete first; what may become one is held back.

    From the text `until` on, where it comes first, nothing is looked for any more.
    The outcome does not depend on how the text is cut into pieces.
    """

    def __init__(self, stops: Seq[str], until: str = "") -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._until = until if self._stops and until not in self._stops else ""
        self._watched = (*self._stops, self._until) if self._until else self._stops
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """The text that is certain now. After a stop string was found there is none."""
        if self.found or not self._watched:
            return "" if self.found else text
        self._held += text
        matches = [(at + len(stop), at, stop) for stop in self._watched if (at := self._held.find(stop)) >= 0]
        if matches:
            _, at, match = min(matches)
            if match == self._until:
                self._watched = ()
                return self._take(len(self._held))
            self.found = True
            return self._take(at)
        return self._take(len(self._held) - self._undecided())

    def flush(self) -> str:
        """What was held back, at the end of the text."""
        return "" if self.found else self._take(len(self._held))

    def _take(self, count: int) -> str:
        text, self._held = self._held[:count], self._held[count:]
        return text

    def _undecided(self) -> int:
        """Length of the longest ending that is the beginning of a stop string."""
        longest = min(len(self._held), max(map(len, self._watched)) - 1)
        beginnings = (n for n in range(longest, 0, -1) if self._ends_like_a_stop(n))
        return next(beginnings, 0)

    def _ends_like_a_stop(self, count: int) -> bool:
        return any(stop.startswith(self._held[-count:]) for stop in self._watched)


def look_up(token_ids: Seq[int], most: int) -> tuple[int, ...]:
    """Up to `most` tokens that followed the latest earlier occurrence of the longest possible ending."""
    if most < 1:
        return ()
    for length in range(min(LONGEST, len(token_ids) - 1), SHORTEST - 1, -1):
        start = _latest(token_ids, length)
        if start is not None:
            return tuple(token_ids[start + length : start + length + most])
    return ()


def _latest(token_ids: Seq[int], length: int) -> int | None:
    """Where the last `length` tokens occurred last before they ended the sequence."""
    ending = list(token_ids[-length:])
    last = ending[-1]
    for stop in range(len(token_ids) - 1, length - 1, -1):
        if token_ids[stop - 1] == last and list(token_ids[stop - length : stop]) == ending:
            return stop - length
    return None
