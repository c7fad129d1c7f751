"""A generation request: what the HTTP layer hands to the engine and what comes back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

FinishReason = Literal["stop", "length", "abort"]


class Constraint(Protocol):
    """Restricts which token may come next (a grammar over the vocabulary). One per request, stateful."""

    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        """Write the allowed tokens into `mask`: int32 [ceil(vocab / 32)] bit mask, bit set = allowed.

        vocab is the model's `vocab_size`; the mask comes zeroed. Token t is bit t % 32 of word t // 32.
        """
        ...

    def accept(self, token_id: int) -> None:
        """Advance by a sampled token."""
        ...

    @property
    def finished(self) -> bool:
        """True when nothing but the end of sequence may follow."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to choose tokens. `temperature` 0 is greedy. `seed` makes sampling reproducible.

    `stop` are strings: generation ends before the first of them, which is not part of the text.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDelta:
    """What one step added to a request: new text (possibly empty, when a character is incomplete or a stop
    string may be starting) and the counts so far. The last delta has a `finish_reason`."""

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    finish_reason: FinishReason | None = None
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class Request:
    """One sequence to generate. `on_delta` is called from the engine's thread, once per step of it."""

    id: str
    prompt_ids: Sequence[int]
    params: SamplingParams
    on_delta: Callable[[TokenDelta], None]
    constraint: Constraint | None = None
    arrived_at: float = field(default=0.0)
