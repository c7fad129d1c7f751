"""Grammars over the vocabulary (llguidance): which token may come next."""

import json
import re
import threading
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from serving.core import Constraint
from serving.openai.error import ApiError
from serving.openai.json_schema import Schema, closed, reworded

# JSON as `json.dumps` writes it: one way to write a value, so that no tokens are spent on white space.
# Nor is a character written as \uXXXX: under such a name, a property would pass for another.
JSON_STYLE = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allowed_escapes": 'nrbtf\\"',
}
_UNKNOWN_KEYWORDS = re.compile(r"Unimplemented keys: (\[.*\])")
_MISSING = re.compile(r"Resource ('.*?') is not present in a registry")
_ONE_OF = (
    "oneOf: that a value fits only one of its options can't be told. Give each a required property "
    "with a const of its own, or use anyOf."
)
COMPILED = 128  # grammars kept, a few tens of KB each


class GrammarTokenizer(Protocol):
    """What is needed of the model's tokenizer; see `serving.checkpoint.tokenizer.Tokenizer`."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def eos_ids(self) -> Collection[int]: ...
    @property
    def special_ids(self) -> Collection[int]: ...
    def token_bytes(self, token_id: int) -> bytes: ...
    def encode_literal(self, text: str) -> list[int]: ...


class _Vocabulary:
    """The vocabulary as llguidance asks for it.

    Handed a tokenizer's JSON, llguidance would read the special tokens that a schema's text spells.
    """

    bos_token_id = None

    def __init__(self, tokenizer: GrammarTokenizer) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = min(tokenizer.eos_ids, default=None)
        self.tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        self.special_token_ids = sorted({*tokenizer.special_ids, *tokenizer.eos_ids})

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode_literal(text)


class GrammarConstraint:
    """A `Constraint` on one request: the state of its parser. Used by the engine's thread only."""

    def __init__(self, matcher: LLMatcher, words: int) -> None:
        self._matcher = matcher
        self._words = words

    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        mask[self._words :] = 0
        row = mask[: self._words]
        assert row.flags.c_contiguous
        self._matcher.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
        self._check()

    def accept(self, token_id: int) -> None:
        self._matcher.consume_token(token_id)
        self._check()

    def forced(self) -> list[int]:
        return list(self._matcher.compute_ff_tokens())

    def copy(self) -> "GrammarConstraint":
        return GrammarConstraint(self._matcher.deep_copy(), self._words)

    @property
    def finished(self) -> bool:
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise RuntimeError(f"the grammar can't go on: {self._matcher.get_error().splitlines()[0]}")


class Grammars:
    """Compiles grammars for one tokenizer and keeps the latest; any thread may ask.

    Making one takes about half a second (it walks the vocabulary), compiling a schema milliseconds.
    """

    def __init__(self, tokenizer: GrammarTokenizer) -> None:
        size = tokenizer.vocab_size
        vocabulary = TokenizerWrapper(_Vocabulary(tokenizer))
        self._tokenizer = LLTokenizer(vocabulary, n_vocab=size, eos_token=sorted(tokenizer.eos_ids))
        self._words = (size + 31) // 32
        self._lock = threading.Lock()
        self._compiled: Callable[[str], LLMatcher] = lru_cache(COMPILED)(self._compile)

    def constraint(self, grammar: str, param: str) -> Constraint:
        """Raises `ApiError` (400) with llguidance's reason; `param` is where the grammar comes from."""
        with self._lock:
            matcher = self._compiled(grammar)
        if matcher.is_error():
            raise ApiError(_reason(param, matcher.get_error()), param=param, code="invalid_schema")
        return GrammarConstraint(matcher.deep_copy(), self._words)

    def _compile(self, grammar: str) -> LLMatcher:
        return LLMatcher(self._tokenizer, grammar, log_level=0)


class CheckedGrammars:
    """Compiles, and takes the first choice on trial, once a grammar: a schema that nothing fits, or that is too
    much from the start, is a mistake of the client's and no failure of the server's. Any thread may ask."""

    def __init__(self, tokenizer: GrammarTokenizer) -> None:
        self._grammars = Grammars(tokenizer)
        self._words = -(-tokenizer.vocab_size // 32)
        self._check: Callable[[str, str], None] = lru_cache(COMPILED)(self._check_first_choice)

    def constraint(self, grammar: str, param: str) -> Constraint:
        """Raises `ApiError` (400) with the reason; `param` is where the grammar comes from."""
        self._check(grammar, param)
        return self._grammars.constraint(grammar, param)

    def _check_first_choice(self, grammar: str, param: str) -> None:
        probe = self._grammars.constraint(grammar, param)
        mask = np.zeros(self._words, np.int32)
        try:
            for token in probe.forced():
                probe.accept(token)
            if probe.finished:
                return
            probe.fill_mask(mask)
        except RuntimeError as error:
            raise ApiError(f"{param}: {error}.", param=param, code="invalid_schema") from None
        if not mask.any():
            raise ApiError(f"{param}: no value fits this schema.", param=param, code="invalid_schema")


def json_grammar(schema: Schema) -> str:
    """A value that fits the schema."""
    return lark(f"start: {json_rule(schema, lenient=False)}")


def json_rule(schema: Schema, *, lenient: bool) -> str:
    """A value that fits the schema, as part of a grammar. Lenient: keywords that cannot be enforced are left out."""
    style = {**JSON_STYLE, "lenient": lenient, "coerce_one_of": lenient}
    return f"%json {json.dumps({**reworded(closed(schema)), 'x-guidance': style})}"


def lark(*rules: str) -> str:
    """The grammar of these rules, in llguidance's variant of Lark."""
    return str(LLMatcher.grammar_from_lark("\n".join(("%llguidance {}", *rules))))


def _reason(param: str, error: str) -> str:
    """llguidance's own reason, without the place in a grammar that the client has not written."""
    lines = error.strip().rpartition("failed to compile JSON schema: ")[2].splitlines()
    return f"{param}: this schema can't be enforced: {_in_one_line(lines)}"


def _in_one_line(lines: Sequence[str]) -> str:
    first = lines[0]
    if first == "regex parse error:":
        return "pattern: " + next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), first)
    if missing := _MISSING.match(first):
        return f"$ref: {missing[1]} is not in the schema, and nothing is fetched."
    if unknown := _UNKNOWN_KEYWORDS.match(first):
        return ", ".join(json.loads(unknown[1])) + ": not supported."
    return _ONE_OF if first.startswith("oneOf constraints") else first
