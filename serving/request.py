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
        """Advance by a token. An end of sequence is one, and finishes it; raises where it may not end."""
        ...

    def forced(self) -> list[int]:
        """The tokens that must come next, whatever the model thinks; often none. Does not advance."""
        ...

    def copy(self) -> "Constraint":
        """The same state, for another answer to the same prompt."""
        ...

    @property
    def finished(self) -> bool:
        """True when nothing but the end of sequence may follow, or has come."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to choose tokens. `temperature` 0 is greedy. `seed` makes sampling reproducible.

    `stop` are strings: generation ends before the first of them, which is not part of the text. From the text
    `stop_until` on (a tool call, which must be whole) they are not looked for.
    `logit_bias` are (token id, addend). `logprobs` is how many alternatives to report with each token's
    log probability; None reports nothing. `n` answers are generated from one prompt, answer i seeded with `seed` + i.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    n: int = 1
    seed: int | None = None
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    stop_until: str = ""
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A token's natural log probability in the model's own distribution, before constraints, penalties and
    temperature; `top` are the likeliest (token id, log probability), falling."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDelta:
    """What one step added to an answer: new text (possibly empty, when a character is incomplete or a stop
    string may be starting) and the answer's counts so far. A step may add several tokens, those that a grammar
    forces or a speculation got right. The answer's last delta has a `finish_reason`.

    `index` tells the answers of a request with `n` > 1 apart. `logprobs` holds one for each of `token_ids` where
    the request asks for them.
    """

    text: str = field(repr=False)
    token_ids: tuple[int, ...] = field(repr=False)
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] = field(default=(), repr=False)
    finish_reason: FinishReason | None = None
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class Request:
    """A prompt to be answered `params.n` times. `on_delta` is called from the engine's thread, once per step of
    an answer; it must not block. Its repr, and a delta's, has nothing that a client sent or got."""

    id: str
    prompt_ids: Sequence[int] = field(repr=False)
    params: SamplingParams = field(repr=False)
    on_delta: Callable[[TokenDelta], None] = field(repr=False)
    constraint: Constraint | None = field(default=None, repr=False)
    arrived_at: float = field(default=0.0)
