"""The protocol of attention over a paged KV cache, and what its implementations share."""

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


def block_bytes(specs: Sequence[AttentionSpec], block_size: int, dtype: torch.dtype) -> int:
    """Bytes of one block over all layers."""
    return sum(2 * spec.kv_heads * spec.head_dim for spec in specs) * block_size * dtype.itemsize


def empty_cache(
    spec: AttentionSpec, num_blocks: int, slots: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """One layer's keys or values, [blocks, kv_heads, *slots].

    Zeroed, since a masked slot still takes part in a product: 0 * NaN would not vanish.
    """
    shape = (num_blocks, spec.kv_heads, *slots)
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return zeroed_bytes(math.prod(shape) * dtype.itemsize).view(dtype).view(shape)


def split_heads(
    qkv: torch.Tensor, spec: AttentionSpec, positions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries [tokens, heads, head_dim], keys and values [tokens, kv_heads, head_dim], normed and rotated."""
    sizes = [spec.heads, spec.kv_heads, spec.kv_heads]
    q, k, v = torch.split(qkv.view(len(qkv), -1, spec.head_dim), sizes, dim=1)
    if spec.q_norm is not None:
        q = F.rms_norm(q, (spec.head_dim,), spec.q_norm, spec.eps)
    if spec.k_norm is not None:
        k = F.rms_norm(k, (spec.head_dim,), spec.k_norm, spec.eps)
    angles = spec.rotary.at(positions)
    return rotate(q, *angles), rotate(k, *angles), v
