"""The seam: who holds the KV cache and attends over it."""

from dataclasses import dataclass
from typing import Protocol

import torch

from serving.batch import Batch
from serving.model.layers import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSpec:
    """One layer's attention: dimensions, positions, and the norms of queries and keys where there are any."""

    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    rotary: Rotary
    window: int = 0  # a token sees this many, itself included; 0: all before it
    q_norm: torch.Tensor | None = None  # [head_dim]
    k_norm: torch.Tensor | None = None
    eps: float = 0.0


class Attention(Protocol):
    """Every layer's keys and values in blocks of slots, and attention over them.

    A token's result depends on its own sequence only, up to rounding.
    """

    num_blocks: int

    def begin(self, batch: Batch) -> None:
        """A step begins: what follows is about these rows."""
        ...

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        """Caches the keys and values of the step's tokens and attends causally, each over its own sequence.

        qkv is [tokens, (heads + 2 * kv_heads) * head_dim], before norms and rotation; it may be changed. The
        result is [tokens, heads * head_dim].
        """
        ...

    def copy_block(self, source: int, target: int) -> None:
        """Copy a block's contents, in every layer."""
        ...
