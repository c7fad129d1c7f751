"""The size of the KV cache."""

import math
from collections.abc import Sequence

import torch

from serving.model.attention.base import AttentionSpec
from serving.model.huge_pages import zeroed_bytes


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
