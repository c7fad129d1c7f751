"""Walks through compiled grammars on a vocabulary of bytes: checks a text, or generates a random one."""

import random
from typing import Any

import numpy as np

from serving.core import Constraint
from serving.openai.error import ApiError
from serving.openai.grammar import CheckedGrammars, json_grammar
from serving.openai.schema_limits import check_schemas, check_strict
from serving.openai.tools.grammar import CallableFunction, arguments_grammar
from tests.serving.fake_engine import ByteTokenizer

TOKENIZER = ByteTokenizer()
[END] = TOKENIZER.eos_ids
_GRAMMARS = CheckedGrammars(TOKENIZER)
_WORDS = (TOKENIZER.vocab_size + 31) // 32
_CLOSING = frozenset(TOKENIZER.encode('"}],'))


def answers_to(schema: dict[str, Any]) -> Constraint | str:
    """The constraint of a response format with this schema, or the error message that refuses it."""
    try:
        check_schemas([schema], "schema")
        check_strict([schema], "schema")
        return _GRAMMARS.constraint(json_grammar(schema), "schema")
    except ApiError as refused:
        return refused.message


def arguments_of(schema: dict[str, Any]) -> Constraint | str:
    """The constraint of the arguments of a tool that is not strict, or the error message that refuses it."""
    try:
        check_schemas([schema], "schema")
        return _GRAMMARS.constraint(arguments_grammar(CallableFunction(name="f", parameters=schema)), "schema")
    except ApiError as refused:
        return refused.message


def accepts(constraint: Constraint, text: str) -> bool:
    """Whether the constraint allows the text as a complete answer."""
    state = constraint.copy()
    for token in TOKENIZER.encode(text):
        if state.finished or token not in _allowed(state):
            return False
        state.accept(token)
    return state.finished or END in _allowed(state)


def random_answer(constraint: Constraint, source: random.Random, max_bytes: int = 300) -> str | None:
    """A random complete answer; None if it does not end within `max_bytes`.

    Prefers printable characters, and characters that end strings, lists and objects.
    """
    state, ids = constraint.copy(), list[int]()
    while len(ids) < max_bytes and not state.finished:
        allowed = _allowed(state)
        if END in allowed and (len(allowed) == 1 or source.random() < 0.5):
            return _text(ids)
        token = _choose([token for token in allowed if token != END], source)
        state.accept(token)
        ids.append(token)
    return _text(ids) if state.finished else None


def _choose(allowed: list[int], source: random.Random) -> int:
    closing = [token for token in allowed if token in _CLOSING]
    if closing and source.random() < 0.45:
        return source.choice(closing)
    printable = [token for token in allowed if b" " <= TOKENIZER.token_bytes(token) < b"\x7f"]
    return source.choice(printable if printable and source.random() < 0.95 else allowed)


def _allowed(state: Constraint) -> list[int]:
    mask = np.zeros(_WORDS, np.int32)
    state.fill_mask(mask)
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()


def _text(ids: list[int]) -> str:
    return b"".join(TOKENIZER.token_bytes(token) for token in ids).decode()
