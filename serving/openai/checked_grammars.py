"""Grammars that something fits."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from serving.openai.error import ApiError
from serving.openai.grammar import COMPILED, Grammars, GrammarTokenizer
from serving.request import Constraint


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
