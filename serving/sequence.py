"""One answer to a request while it is being generated."""

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

from serving.request import Constraint, Request


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
