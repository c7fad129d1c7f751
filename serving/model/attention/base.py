"""The protocol of attention over a paged KV cache, and functions that its implementations share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F

from serving.core import Batch
from serving.model.huge_pages import zeroed_bytes
from serving.model.layers import Rotary, rotate


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSpec:
    """One layer's attention: dimensions, rotary positions, and the norms of queries and keys if there are any."""

    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    rotary: Rotary
    window: int = 0  # tokens that a token attends to, itself included; 0: all up to itself
    q_norm: torch.Tensor | None = None  # [head_dim]
    k_norm: torch.Tensor | None = None
    eps: float = 0.0


class Attention(Protocol):
    """Caches every layer's keys and values in blocks of slots, and attends over them.

    A token's result depends on its own sequence only, up to rounding.
    """

    num_blocks: int

    def begin(self, batch: Batch) -> None:
        """Begins a step: later calls compute the rows of this batch."""
        ...

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        """Caches the keys and values of the step's tokens. Each token attends causally to its own sequence.

        qkv is [tokens, (heads + 2 * kv_heads) * head_dim], before norms and rotation; it may be overwritten. The
        result is [tokens, heads * head_dim].
        """
        ...

    def copy_block(self, source: int, target: int) -> None:
        """Copies a block's contents in every layer."""
        ...


def block_bytes(specs: Sequence[AttentionSpec], block_size: int, dtype: torch.dtype) -> int:
    """Bytes of one block over all layers."""
    return sum(2 * spec.kv_heads * spec.head_dim for spec in specs) * block_size * dtype.itemsize


def empty_cache(
    spec: AttentionSpec, num_blocks: int, slots: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """The cache of one layer's keys or values: zeros [blocks, kv_heads, *slots].

    It is zeroed because a masked slot still takes part in a product, and 0 * NaN is NaN.
    """
    shape = (num_blocks, spec.kv_heads, *slots)
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return zeroed_bytes(math.prod(shape) * dtype.itemsize).view(dtype).view(shape)


def split_heads(
    qkv: torch.Tensor, spec: AttentionSpec, positions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries [tokens, heads, head_dim] and keys [tokens, kv_heads, head_dim], normalized and rotated; and values
    [tokens, kv_heads, head_dim]."""
    sizes = [spec.heads, spec.kv_heads, spec.kv_heads]
    q, k, v = torch.split(qkv.view(len(qkv), -1, spec.head_dim), sizes, dim=1)
    if spec.q_norm is not None:
        q = F.rms_norm(q, (spec.head_dim,), spec.q_norm, spec.eps)
    if spec.k_norm is not None:
        k = F.rms_norm(k, (spec.head_dim,), spec.k_norm, spec.eps)
    angles = spec.rotary.at(positions)
    return rotate(q, *angles), rotate(k, *angles), v
