"""Token ids to text as they come, ending at a stop string."""

import codecs
from collections.abc import Sequence

from serving.checkpoint.tokenizer import Tokenizer


class StopStrings:
    """Passes text on up to the stop string that is complete first; what may become one is held back.

    From the text `until` on, where it comes first, nothing is looked for any more.
    The outcome does not depend on how the text is cut into pieces.
    """

    def __init__(self, stops: Sequence[str], until: str = "") -> None:
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


class Detokenizer:
    """One sequence's text. The pieces joined equal `Tokenizer.decode` of the ids, up to the stop string."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = (), until: str = "") -> None:
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
