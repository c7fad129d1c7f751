"""Log probabilities in OpenAI's two shapes."""

import codecs
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from serving.request import TokenLogprob

Json = dict[str, Any]
LEAST = -9999.0  # OpenAI's own value for a token that can't come: JSON has no infinity


class Vocabulary(Protocol):
    """What tokens are made of: the tokenizer."""

    @property
    def eos_ids(self) -> Collection[int]: ...
    def token_bytes(self, token_id: int) -> bytes: ...


class LogprobReport(Protocol):
    """Of one answer. One entry a token, the end of sequence and the tokens of a stop string included."""

    def feed(self, logprobs: Sequence[TokenLogprob]) -> None: ...

    def take(self) -> Json | None:
        """What has come since the last time; None when nothing has."""
        ...

    def whole(self) -> Json:
        """All that was taken, and the rest."""
        ...


class ChatLogprobs:
    """`{content: [{token, logprob, bytes, top_logprobs}]}`"""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._entries: list[Json] = []
        self._taken = 0

    def feed(self, logprobs: Sequence[TokenLogprob]) -> None:
        self._entries += map(self._entry, logprobs)

    def take(self) -> Json | None:
        fresh, self._taken = self._entries[self._taken :], len(self._entries)
        return {"content": fresh, "refusal": None} if fresh else None

    def whole(self) -> Json:
        return {"content": self._entries, "refusal": None}

    def _entry(self, told: TokenLogprob) -> Json:
        top = [self._token(token, logprob) for token, logprob in told.top]
        return {**self._token(told.token_id, told.logprob), "top_logprobs": top}

    def _token(self, token_id: int, logprob: float) -> Json:
        data = self._vocabulary.token_bytes(token_id)
        return {"token": data.decode(errors="replace"), "logprob": max(logprob, LEAST), "bytes": list(data)}


class CompletionLogprobs:
    """`{tokens, token_logprobs, top_logprobs, text_offset}`, lists of one entry a token.

    `top_logprobs` always has the token itself. A token that is not whole characters is written as its bytes.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._told: list[TokenLogprob] = []
        self._offsets: list[int] = []
        self._taken = 0
        self._characters = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, logprobs: Sequence[TokenLogprob]) -> None:
        for told in logprobs:
            self._told.append(told)
            self._offsets.append(self._characters)
            if told.token_id not in self._vocabulary.eos_ids:
                self._characters += len(self._decoder.decode(self._vocabulary.token_bytes(told.token_id)))

    def take(self) -> Json | None:
        start, self._taken = self._taken, len(self._told)
        return self._since(start) if start < self._taken else None

    def whole(self) -> Json:
        return self._since(0)

    def _since(self, start: int) -> Json:
        told = self._told[start:]
        return {
            "tokens": [self._text(entry.token_id) for entry in told],
            "token_logprobs": [max(entry.logprob, LEAST) for entry in told],
            "top_logprobs": [self._alternatives(entry) for entry in told],
            "text_offset": self._offsets[start:],
        }

    def _alternatives(self, told: TokenLogprob) -> dict[str, float]:
        pairs = (*told.top, (told.token_id, told.logprob))
        return {self._text(token): max(logprob, LEAST) for token, logprob in pairs}

    def _text(self, token_id: int) -> str:
        data = self._vocabulary.token_bytes(token_id)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
