"""A request while it is being generated."""

from dataclasses import dataclass, field
from random import Random

from serving.request import Request


@dataclass(slots=True, kw_only=True, eq=False)
class Sequence:
    """Tokens so far and how many of them have keys and values in `block_table`'s blocks."""

    request: Request
    token_ids: list[int]
    max_total_tokens: int
    num_computed: int = 0
    block_table: list[int] = field(default_factory=list)
    random: Random = field(default_factory=Random)

    @classmethod
    def of(cls, request: Request, max_model_len: int) -> "Sequence":
        """`max_tokens` is clipped to what fits into `max_model_len` tokens together with the prompt."""
        prompt = list(request.prompt_ids)
        return cls(
            request=request,
            token_ids=prompt,
            max_total_tokens=min(len(prompt) + request.params.max_tokens, max_model_len),
            random=Random(request.params.seed),
        )

    @property
    def id(self) -> str:
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
