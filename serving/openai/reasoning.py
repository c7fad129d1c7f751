"""Reasoning: the part of an answer in which the model thinks, found by the marks of its own chat template."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from serving.core import Constraint
from serving.openai.tools.format import REFUSALS, Message, Render

_THOUGHT, _ANSWER = "sentinel thought", "sentinel answer"
_KEYS = ("reasoning_content", "reasoning", "thinking")
_QUESTION: Message = {"role": "user", "content": "sentinel question"}
_MARKS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>"))
"""Of templates that show no reasoning of earlier answers, but speak of it."""


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """`opening`, the reasoning, `closing`; `gap` is the white space that then comes before the answer."""

    opening: str
    closing: str
    gap: str = ""

    def is_begun(self, prompt: str) -> bool:
        """Whether the prompt's end has begun the reasoning."""
        return prompt.rstrip().endswith(self.opening)


def reasoning_format(source: str, render: Render) -> ReasoningFormat | None:
    """None for a model without reasoning, as far as its template `source` says."""
    for key in _KEYS:
        if key not in source:
            continue
        with suppress(*REFUSALS):
            turn: Message = {"role": "assistant", "content": _ANSWER, **dict.fromkeys(_KEYS, _THOUGHT)}
            found = _AROUND.search(render([_QUESTION, turn], [], False))
            if found:
                closing = found["closing"]
                return ReasoningFormat(found["opening"], closing.strip(), closing[len(closing.rstrip()) :])
    return next((ReasoningFormat(*marks, "\n\n") for marks in _MARKS if marks[1] in source), None)


_AROUND = re.compile(rf"(?P<opening>[<\[][^<>\[\]\s]+[>\]])\s*{_THOUGHT}(?P<closing>.*?){_ANSWER}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text that the model thinks."""

    text: str


class ReasoningStream:
    """Splits text that arrives in pieces into reasoning and the rest, which is what follows `closing`.

    `is_begun`: the prompt's end began the reasoning. Else only a text that begins with `opening` has any. However the
    text is cut into pieces, the joined parts are the same. White space around the reasoning is left out.
    """

    def __init__(self, form: ReasoningFormat, *, is_begun: bool) -> None:
        self._form = form
        self._held = ""
        self._read: Callable[[], tuple[str, str]] = self._reasoning if is_begun else self._beginning
        self._has_text = False

    def feed(self, text: str) -> tuple[str, str]:
        """The reasoning and the other text that are certain now."""
        self._held += text
        reasoning, rest = "", ""
        while True:
            read = self._read
            thought, other = read()
            reasoning, rest = reasoning + thought, rest + other
            if self._read == read:
                return reasoning, rest

    def finish(self) -> tuple[str, str]:
        """What was held back, at the answer's end."""
        held, self._held = self._held, ""
        if self._read == self._reasoning:
            return (held.rstrip() if self._has_text else held.strip()), ""
        return "", held

    def _beginning(self) -> tuple[str, str]:
        text = self._held.lstrip()
        if text.startswith(self._form.opening):
            self._held, self._read = text.removeprefix(self._form.opening), self._reasoning
        elif not self._form.opening.startswith(text):
            self._read = self._answer
        return "", ""

    def _reasoning(self) -> tuple[str, str]:
        closing = self._form.closing
        thought, closed, rest = self._held.partition(closing)
        if closed:
            self._held, self._read = rest, self._gap
        else:
            cut = next((n for n in range(len(closing) - 1, 0, -1) if thought.endswith(closing[:n])), 0)
            thought = thought[: len(thought) - cut]
        thought = thought.rstrip()
        if not closed:
            self._held = self._held[len(thought) :]
        if not self._has_text:
            thought = thought.lstrip()
        self._has_text = self._has_text or bool(thought)
        return thought, ""

    def _gap(self) -> tuple[str, str]:
        self._held = self._held.lstrip()
        if self._held:
            self._read = self._answer
        return "", ""

    def _answer(self) -> tuple[str, str]:
        text, self._held = self._held, ""
        return "", text


class _Phase(Enum):
    BEGINNING = auto()
    REASONING = auto()
    ANSWER = auto()


class ReasoningConstraint:
    """A `Constraint` that lets the model think first, at most `budget` tokens, and then holds it to `inner`.

    `is_begun`: the prompt's end began the reasoning; else the model may begin it with its first token. `inner` None
    leaves the answer free.
    """

    def __init__(
        self,
        inner: Constraint | None,
        vocabulary: "ReasoningVocabulary",
        *,
        is_begun: bool,
        budget: int | None = None,
    ) -> None:
        self._inner = inner
        self._vocabulary = vocabulary
        self._budget = budget
        self._text = b""
        self._count = 0
        self._pending: list[int] = []
        self._has_ended = False
        # Only a mark that is one token can be told from the first token of an answer.
        self._phase = _Phase.BEGINNING if len(vocabulary.opening) == 1 else _Phase.ANSWER
        if is_begun:
            self._begin()

    def _begin(self) -> None:
        self._phase = _Phase.REASONING
        if self._budget == 0:
            self._end(self._vocabulary.closing)

    def _end(self, pending: Sequence[int]) -> None:
        """The answer comes next, after tokens that are not left to the model."""
        self._phase, self._pending = _Phase.ANSWER, list(pending)

    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        if self._pending:
            _allow(mask, self._pending[0])
        elif self._phase is _Phase.REASONING or self._inner is None:
            mask[: len(self._vocabulary.everything)] = self._vocabulary.everything
        else:
            self._inner.fill_mask(mask)
            if self._phase is _Phase.BEGINNING:
                _allow(mask, self._vocabulary.opening[0])

    def accept(self, token_id: int) -> None:
        if self._pending:
            self._pending.pop(0)
        elif self._phase is _Phase.REASONING:
            self._accept_reasoning(token_id)
        elif self._phase is _Phase.BEGINNING and token_id == self._vocabulary.opening[0]:
            self._begin()
        else:
            self._accept_answer(token_id)

    def _accept_answer(self, token_id: int) -> None:
        is_blank = self._inner is None and not self._vocabulary.token_bytes(token_id).strip()
        if self._phase is _Phase.BEGINNING and not is_blank:
            self._phase = _Phase.ANSWER
        self._has_ended = token_id in self._vocabulary.eos_ids
        if self._inner is not None:
            self._inner.accept(token_id)

    def _accept_reasoning(self, token_id: int) -> None:
        vocabulary = self._vocabulary
        if token_id in vocabulary.eos_ids:
            self._has_ended = True
            return
        self._count += 1
        self._text = (self._text + vocabulary.token_bytes(token_id))[-4 * len(vocabulary.closing_text) :]
        if vocabulary.closing_text in self._text:
            # A free answer writes the white space itself; a grammar has no place for it.
            self._end(() if self._inner is None else vocabulary.gap)
        elif self._budget is not None and self._count >= self._budget:
            self._end(vocabulary.closing)

    def forced(self) -> list[int]:
        if self._pending:
            return list(self._pending)
        return self._inner.forced() if self._phase is _Phase.ANSWER and self._inner is not None else []

    def copy(self) -> "ReasoningConstraint":
        inner = None if self._inner is None else self._inner.copy()
        copied = ReasoningConstraint(inner, self._vocabulary, is_begun=False, budget=self._budget)
        copied._phase, copied._text, copied._count = self._phase, self._text, self._count
        copied._pending, copied._has_ended = list(self._pending), self._has_ended
        return copied

    @property
    def finished(self) -> bool:
        is_complete = self._phase is _Phase.ANSWER and not self._pending and self._inner is not None
        return self._has_ended or (is_complete and self._inner is not None and self._inner.finished)


def _allow(mask: NDArray[np.int32], token_id: int) -> None:
    mask.view(np.uint32)[token_id // 32] |= np.uint32(1 << token_id % 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningVocabulary:
    """The marks of a format as tokens. `everything` is the mask of all tokens; `closing` has the gap with it."""

    opening: tuple[int, ...]
    closing: tuple[int, ...]
    closing_text: bytes
    gap: tuple[int, ...]
    everything: NDArray[np.int32]
    eos_ids: Sequence[int]
    token_bytes: Callable[[int], bytes]


def reasoning_vocabulary(
    form: ReasoningFormat,
    encode: Callable[[str], list[int]],
    token_bytes: Callable[[int], bytes],
    vocab_size: int,
    eos_ids: Sequence[int],
) -> ReasoningVocabulary:
    everything = np.packbits(np.ones(-(-vocab_size // 32) * 32, np.uint8), bitorder="little")
    everything.view(np.uint32)[-1] = (1 << (vocab_size - 1) % 32 + 1) - 1
    return ReasoningVocabulary(
        opening=tuple(encode(form.opening)),
        closing=tuple(encode(f"\n{form.closing}{form.gap}")),
        closing_text=form.closing.encode(),
        gap=tuple(encode(form.gap)) if form.gap else (),
        everything=everything.view(np.int32),
        eos_ids=tuple(eos_ids),
        token_bytes=token_bytes,
    )
