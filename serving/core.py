"""What the parts of the server exchange: requests, sequences, batches, deltas, statistics and refusals."""

from array import array
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

_LONGEST = 500  # characters of a message
FinishReason = Literal["stop", "length", "abort"]
Ints = NDArray[np.int64]


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
    prompt_ids: Seq[int] = field(repr=False)
    params: SamplingParams = field(repr=False)
    on_delta: Callable[[TokenDelta], None] = field(repr=False)
    constraint: Constraint | None = field(default=None, repr=False)
    arrived_at: float = field(default=0.0)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Sequence:
    """Tokens so far, and how many of them have keys and values in `block_table`'s blocks.

    Several tokens may be uncomputed: a prompt, or tokens that a grammar forced. `drafts` are guesses at the tokens
    that follow, to be computed with the last token and kept where sampling confirms them.
    """

    request: Request
    token_ids: list[int]
    max_total_tokens: int
    index: int = 0  # which of the request's n answers
    unforked: bool = True  # the request's other answers are still to be forked off the first
    constraint: Constraint | None = None
    num_computed: int = 0
    block_table: list[int] = field(default_factory=list)
    block_keys: list[bytes] = field(default_factory=list)  # of the first blocks, see hash_blocks
    num_sealed: int = 0
    cached_tokens: int | None = None  # of the prompt, found in the prefix cache; None before it was admitted
    drafts: tuple[int, ...] = ()
    random: Random = field(default_factory=Random)

    def __repr__(self) -> str:
        """Without what the client sent and got: it may end up in a log or in another client's error."""
        return f"Sequence(id={self.id!r}, index={self.index})"

    @classmethod
    def of(cls, request: Request, max_model_len: int) -> "Sequence":
        """`max_tokens` is clipped to what fits into `max_model_len` tokens together with the prompt."""
        prompt = list(request.prompt_ids)
        return cls(
            request=request,
            token_ids=prompt,
            max_total_tokens=min(len(prompt) + request.params.max_tokens, max_model_len),
            constraint=request.constraint,
            random=Random(request.params.seed),
        )

    def fork(self, index: int) -> "Sequence":
        """Another answer that goes on from the same tokens; it holds no blocks yet."""
        seed = self.request.params.seed
        return Sequence(
            request=self.request,
            token_ids=list(self.token_ids),
            max_total_tokens=self.max_total_tokens,
            index=index,
            unforked=False,
            constraint=None if self.constraint is None else self.constraint.copy(),
            block_keys=list(self.block_keys),
            cached_tokens=self.cached_tokens,
            random=Random(None if seed is None else seed + index),
        )

    @property
    def id(self) -> str:
        """The request's; its other answers have the same."""
        return self.request.id

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.request.prompt_ids)

    @property
    def num_completion_tokens(self) -> int:
        return len(self.token_ids) - len(self.request.prompt_ids)

    @property
    def num_uncomputed(self) -> int:
        return len(self.token_ids) - self.num_computed

    @property
    def is_full(self) -> bool:
        """No further token may be generated."""
        return len(self.token_ids) >= self.max_total_tokens

    def hash_blocks(self, block_size: int) -> list[bytes]:
        """A key for each full block of the tokens so far: a hash of its tokens and of the key before it."""
        for index in range(len(self.block_keys), len(self.token_ids) // block_size):
            before = self.block_keys[-1] if self.block_keys else b""
            tokens = array("q", self.token_ids[index * block_size : (index + 1) * block_size]).tobytes()
            self.block_keys.append(blake2b(before + tokens, digest_size=16).digest())
        return self.block_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledSequence:
    """`count` tokens of a sequence from `start` on, to be computed in one step, the last of them its `drafts`.

    `copies` are blocks (source, target) to be copied first: the sequence writes where another one reads.
    """

    sequence: Sequence
    start: int
    count: int
    drafts: tuple[int, ...] = ()
    copies: tuple[tuple[int, int], ...] = ()

    @property
    def tokens(self) -> list[int]:
        stop = self.start + self.count - len(self.drafts)
        return [*self.sequence.token_ids[self.start : stop], *self.drafts]

    @property
    def sampled(self) -> int:
        """How many of the last rows are sampled: none while known tokens remain, else the last and the drafts."""
        num_known = self.count - len(self.drafts)
        return 1 + len(self.drafts) if self.start + num_known == len(self.sequence.token_ids) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows are the step's tokens, a sequence's together: first those of one token, then the longer ones."""

    items: tuple[ScheduledSequence, ...]  # in the order of the rows
    counts: Ints  # [sequences] rows of each
    starts: Ints  # [sequences + 1] its first row; the last is the number of rows
    token_ids: Ints  # [tokens]
    positions: Ints  # [tokens] from 0 within the sequence
    slots: Ints  # [tokens] where the cache takes a token: block * block_size + offset
    tables: Ints  # [sequences, width] block ids, filled with 0
    sampled_rows: Ints  # [sampled] rows whose next token is wanted


def build_batch(step: Seq[ScheduledSequence], block_size: int) -> Batch:
    items = sorted(step, key=lambda item: item.count > 1)
    counts = np.array([item.count for item in items])
    starts = np.concatenate([[0], np.cumsum(counts)])
    firsts = np.array([item.start for item in items])
    positions = np.arange(starts[-1]) + np.repeat(firsts - starts[:-1], counts)
    tables = _tables(items)
    blocks = tables[np.repeat(np.arange(len(items)), counts), positions // block_size]
    return Batch(
        items=tuple(items),
        counts=counts,
        starts=starts,
        token_ids=np.array([t for item in items for t in item.tokens]),
        positions=positions,
        slots=blocks * block_size + positions % block_size,
        tables=tables,
        sampled_rows=_sampled_rows(items, starts),
    )


def _tables(items: Seq[ScheduledSequence]) -> Ints:
    tables = np.zeros((len(items), max(len(item.sequence.block_table) for item in items)), np.int64)
    for row, item in zip(tables, items, strict=True):
        row[: len(item.sequence.block_table)] = item.sequence.block_table
    return tables


def _sampled_rows(items: Seq[ScheduledSequence], starts: Ints) -> Ints:
    """The last row of a sequence all of whose tokens are in, and those of the drafts before it."""
    rows = [np.arange(stop - item.sampled, stop) for item, stop in zip(items, starts[1:], strict=True)]
    return np.concatenate(rows).astype(np.int64)


@dataclass(slots=True, kw_only=True)
class EngineStats:
    """Sequences by state and KV blocks now; tokens and events since the start."""

    running: int = 0
    waiting: int = 0
    blocks_free: int = 0  # of them, those with contents that a prefix may hit count as free
    blocks_total: int = 0
    prompt_tokens: int = 0  # of requests admitted, the cached included
    cached_tokens: int = 0  # of prompt_tokens, those found in the prefix cache
    generation_tokens: int = 0
    forced_tokens: int = 0  # of generation_tokens, those appended because the grammar allowed no other
    drafted_tokens: int = 0  # proposed by speculation
    accepted_tokens: int = 0  # of drafted_tokens, those that the model confirmed
    preemptions: int = 0
    steps: int = 0


class PromptTooLong(ValueError):
    """The prompt leaves no room for an answer."""


class EngineOverloaded(RuntimeError):
    """Too many requests wait already; try again later."""


class MachineFailed(RuntimeError):
    """Part of the machine is gone. Its words are for every client: they are never of a request."""


class ModelLoadError(ValueError):
    """The model cannot be loaded. One line: what is wrong, with which file, what to do."""

    def __init__(self, message: str) -> None:
        """`message` may quote a library or a file: what is left is one line of bounded length."""
        line = " ".join(message.split())
        super().__init__(line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}")
