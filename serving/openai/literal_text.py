"""What a client sends is text: a control token that it spells (`<|im_end|>`) begins no turn and ends none."""

import re
import secrets
from collections.abc import Collection, Mapping
from typing import Any, Protocol


class LiteralTokenizer(Protocol):
    """What is needed of the model's tokenizer; see `serving.checkpoint.tokenizer.Tokenizer`."""

    @property
    def special_ids(self) -> Collection[int]: ...
    def token_bytes(self, token_id: int) -> bytes: ...
    def encode(self, text: str, add_special: bool = False) -> list[int]: ...
    def encode_literal(self, text: str) -> list[int]: ...


class LiteralText:
    """Marks the control tokens in a client's strings before a template puts its own beside them.

    A mark is a word that no client can guess, and that JSON and templates leave as it is.
    """

    def __init__(self, tokenizer: LiteralTokenizer) -> None:
        self._tokenizer = tokenizer
        spelled = {tokenizer.token_bytes(token).decode(errors="replace") for token in tokenizer.special_ids} - {""}
        self._texts = sorted(spelled, key=len, reverse=True)  # of two that begin alike the longer one
        self._numbers = {text: number for number, text in enumerate(self._texts)}
        self._spelled = re.compile("|".join(map(re.escape, self._texts)) or r"(?!)")
        self._word = f"literal{secrets.token_hex(16)}x"
        self._mark = re.compile(rf"{self._word}(\d+)x")

    def marked(self, value: Any) -> Any:
        """A string, or a JSON value with all strings in it, keys too."""
        if isinstance(value, str):
            return self._spelled.sub(lambda found: f"{self._word}{self._numbers[found[0]]}x", value)
        if isinstance(value, Mapping):
            return {self.marked(key): self.marked(item) for key, item in value.items()}
        return [self.marked(item) for item in value] if isinstance(value, list | tuple) else value

    def unmarked(self, text: str) -> str:
        return self._mark.sub(lambda found: self._texts[int(found[1])], text)

    def encode(self, text: str, *, begin: bool) -> list[int]:
        """Ids of a text with marks: what they stand for as plain text, control tokens of the rest as such.

        `begin`: with the token that the model has for the beginning of a text, if it has one.
        """
        first, *others = self._mark.split(text)
        ids = self._tokenizer.encode(first, add_special=begin)
        for number, following in zip(others[::2], others[1::2], strict=True):
            ids += self._tokenizer.encode_literal(self._texts[int(number)])
            ids += self._tokenizer.encode(following) if following else []
        return ids
