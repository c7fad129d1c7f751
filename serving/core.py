"""The types that the parts of the server share: requests, sequences, batches, deltas, statistics and errors."""

from array import array
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

_MAX_MESSAGE_CHARACTERS = 500
FinishReason = Literal["stop", "length", "abort"]
Ints = NDArray[np.int64]


class Constraint(Protocol):
    """Restricts the next token by a grammar over the vocabulary. It has state; each answer has its own."""

    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        """Set the bits of the allowed tokens in `mask`, int32 [ceil(vocab_size / 32)], which comes zeroed.

        Token t is bit t % 32 of word t // 32.
        """
        ...

    def accept(self, token_id: int) -> None:
        """Advance by a token. An end-of-sequence token finishes the constraint; raises if it is not allowed yet."""
        ...

    def forced(self) -> list[int]:
        """The tokens that must come next, because the grammar allows no others; often none. Does not advance."""
        ...

    def copy(self) -> "Constraint":
        """A copy with the same state, for another answer to the same prompt."""
        ...

    @property
    def finished(self) -> bool:
        """Whether only the end of sequence may follow, or has been accepted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to choose tokens. `temperature` 0 is greedy. `seed` makes sampling reproducible.

    `stop`: generation ends before the first of these strings, which is not part of the text. `stop_until`: after this
    text, which begins a tool call, stop strings no longer apply; a call must be complete. `shown`: the control tokens
    that are part of the text; the text has no others.
    `logit_bias`: pairs (token id, addend). `logprobs`: the number of alternatives that are reported with each token's
    log probability; None reports no log probabilities. `n`: the number of answers to the prompt; answer i is seeded
    with `seed` + i.
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
    shown: frozenset[int] = frozenset()
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A token's natural log probability in the model's own distribution, before constraints, penalties and temperature.

    `top` has the likeliest tokens as (token id, log probability), in descending order.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDelta:
    """The part of an answer that one step added, with the answer's token counts so far.

    `text` is empty while a character is incomplete or a stop string may have begun. A step may add several tokens:
    forced ones and accepted drafts. Only the answer's last delta has a `finish_reason`.
    `index` is the answer's index among the request's `n`. `logprobs` has an entry for each of `token_ids` if the
    request asks for log probabilities.
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
    """A prompt to be answered `params.n` times.

    The engine's thread calls `on_delta` once per step of an answer; it must not block. The repr of a request and of a
    delta contains no text, token or parameter of the client: it may appear in a log.
    """

    id: str
    prompt_ids: Seq[int] = field(repr=False)
    params: SamplingParams = field(repr=False)
    on_delta: Callable[[TokenDelta], None] = field(repr=False)
    constraint: Constraint | None = field(default=None, repr=False)
    arrived_at: float = field(default=0.0)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Sequence:
    """One answer of a request: the tokens of prompt and answer so far, and their KV blocks.

    The blocks in `block_table` hold the keys and values of the first `num_computed` tokens. Several tokens may be
    uncomputed: a prompt, or tokens that a grammar forced. `drafts` are proposals for the next tokens. They are
    computed in the same step as the last token, and accepted if sampling chooses the same tokens.
    """

    request: Request
    token_ids: list[int]
    max_total_tokens: int
    index: int = 0  # among the request's n answers
    forks_pending: bool = True  # the request's other answers have not been forked from this one yet
    constraint: Constraint | None = None
    num_computed: int = 0
    block_table: list[int] = field(default_factory=list)
    block_keys: list[bytes] = field(default_factory=list)  # of the first blocks, see hash_blocks
    num_registered: int = 0  # blocks of block_table that are registered in the prefix cache
    cached_tokens: int | None = None  # prompt tokens found in the prefix cache; None before the first admission
    drafts: tuple[int, ...] = ()
    random: Random = field(default_factory=Random)

    def __repr__(self) -> str:
        """Contains no data of the client: it may appear in a log or in another client's error."""
        return f"Sequence(id={self.id!r}, index={self.index})"

    @classmethod
    def of(cls, request: Request, max_model_len: int) -> "Sequence":
        """The request's first answer. It is clipped so that prompt plus answer have at most `max_model_len` tokens."""
        prompt = list(request.prompt_ids)
        return cls(
            request=request,
            token_ids=prompt,
            max_total_tokens=min(len(prompt) + request.params.max_tokens, max_model_len),
            constraint=request.constraint,
            random=Random(request.params.seed),
        )

    def fork(self, index: int) -> "Sequence":
        """Another answer that continues from the same tokens. It has no blocks yet."""
        seed = self.request.params.seed
        return Sequence(
            request=self.request,
            token_ids=list(self.token_ids),
            max_total_tokens=self.max_total_tokens,
            index=index,
            forks_pending=False,
            constraint=None if self.constraint is None else self.constraint.copy(),
            block_keys=list(self.block_keys),
            cached_tokens=self.cached_tokens,
            random=Random(None if seed is None else seed + index),
        )

    @property
    def id(self) -> str:
        """The request's id, which all of its answers share."""
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
        """Whether the sequence has its maximum number of tokens."""
        return len(self.token_ids) >= self.max_total_tokens

    def hash_blocks(self, block_size: int) -> list[bytes]:
        """The key of each full block: a hash of its tokens and of the previous block's key."""
        for index in range(len(self.block_keys), len(self.token_ids) // block_size):
            previous = self.block_keys[-1] if self.block_keys else b""
            tokens = array("q", self.token_ids[index * block_size : (index + 1) * block_size]).tobytes()
            self.block_keys.append(blake2b(previous + tokens, digest_size=16).digest())
        return self.block_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledSequence:
    """`count` tokens of a sequence, from position `start`, that one step computes. The last of them are `drafts`.

    `copies` are pairs (source block, target block), copied before the step: the sequence would otherwise write to a
    block that another sequence reads.
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
    def num_sampled(self) -> int:
        """The number of rows, counted from the end, that are sampled.

        These are the rows of the last token and of the drafts, or none if the step does not reach the last token.
        """
        stop = self.start + self.count - len(self.drafts)
        return 1 + len(self.drafts) if stop == len(self.sequence.token_ids) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The tokens of one step, a row each. Each sequence's rows are adjacent; sequences with one row come first."""

    items: tuple[ScheduledSequence, ...]  # in the order of the rows
    counts: Ints  # [sequences] number of rows of each sequence
    starts: Ints  # [sequences + 1] first row of each sequence, then the total number of rows
    token_ids: Ints  # [tokens]
    positions: Ints  # [tokens] position within the sequence, from 0
    slots: Ints  # [tokens] slot in the KV cache: block * block_size + offset
    tables: Ints  # [sequences, width] block ids, padded with 0
    sampled_rows: Ints  # [sampled] rows whose logits are sampled


def build_batch(step: Seq[ScheduledSequence], block_size: int) -> Batch:
    """The batch of these sequences, sorted so that those with one token come first."""
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
    """The last `num_sampled` rows of each sequence."""
    rows = [np.arange(stop - item.num_sampled, stop) for item, stop in zip(items, starts[1:], strict=True)]
    return np.concatenate(rows).astype(np.int64)


@dataclass(slots=True, kw_only=True)
class EngineStats:
    """Sequences and KV blocks now; tokens and events since the start."""

    running: int = 0
    waiting: int = 0
    blocks_free: int = 0  # including unreferenced blocks that the prefix cache can still find
    blocks_total: int = 0
    prompt_tokens: int = 0  # of queued requests, including cached tokens
    cached_tokens: int = 0  # the part of prompt_tokens that was found in the prefix cache
    generation_tokens: int = 0
    forced_tokens: int = 0  # the part of generation_tokens that the grammar forced
    drafted_tokens: int = 0  # proposed by speculative decoding
    accepted_tokens: int = 0  # the part of drafted_tokens that sampling chose too
    preemptions: int = 0
    steps: int = 0


class PromptTooLong(ValueError):
    """The prompt fills the model's context and leaves no room for an answer."""


class EngineOverloaded(RuntimeError):
    """The engine accepts no more requests now: too many wait, or it is shutting down."""


class WorkerFailed(RuntimeError):
    """A process that computes part of the model failed. The message has no data of a client: all clients may see it."""


class ModelLoadError(ValueError):
    """The model can't be loaded. The message is one line: the problem, the file, and what to do."""

    def __init__(self, message: str) -> None:
        """`message` may quote a library or a file. It is joined into one line and shortened in the middle."""
        line = " ".join(message.split())
        half = _MAX_MESSAGE_CHARACTERS // 2
        super().__init__(line if len(line) <= _MAX_MESSAGE_CHARACTERS else f"{line[:half]} … {line[-half:]}")
