"""Attention by the compiled kernel, on the CPU."""

from collections.abc import Sequence

import torch

from serving.core import Batch
from serving.model.attention.base import AttentionSpec, empty_cache
from serving.model.kernels.attention import PagedAttention, PagedRows
from serving.model.kernels.library import LANES


def kernel_supports(specs: Sequence[AttentionSpec], block_size: int) -> bool:
    """Whether the kernel supports these layers."""
    return block_size % LANES == 0 and all(spec.head_dim % LANES == 0 for spec in specs)


class CompiledAttention:
    """A `serving.model.attention.base.Attention`. Activations of other types are converted to float32 and back."""

    def __init__(self, specs: Sequence[AttentionSpec], num_blocks: int, block_size: int, dtype: torch.dtype) -> None:
        self.num_blocks = num_blocks
        self._caches: list[torch.Tensor] = []
        self.layers = [self._layer(spec, block_size, dtype) for spec in specs]
        self.rows: PagedRows | None = None

    def begin(self, batch: Batch) -> None:
        self.rows = PagedRows(batch.positions, batch.slots, batch.starts, batch.tables)

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        assert self.rows is not None, "no step has begun"
        return self.layers[layer](qkv.float(), self.rows).to(qkv.dtype)

    def copy_block(self, source: int, target: int) -> None:
        for cache in self._caches:
            cache[target] = cache[source]

    def _layer(self, spec: AttentionSpec, block_size: int, dtype: torch.dtype) -> PagedAttention:
        cpu = torch.device("cpu")
        keys = empty_cache(spec, self.num_blocks, (spec.head_dim, block_size), dtype, cpu)
        values = empty_cache(spec, self.num_blocks, (block_size, spec.head_dim), dtype, cpu)
        self._caches += [keys, values]
        return PagedAttention(
            keys=keys,
            values=values,
            cos=spec.rotary.cos.float(),
            sin=spec.rotary.sin.float(),
            heads=spec.heads,
            scale=spec.scale,
            window=spec.window,
            q_norm=None if spec.q_norm is None else spec.q_norm.float(),
            k_norm=None if spec.k_norm is None else spec.k_norm.float(),
            eps=spec.eps,
        )
