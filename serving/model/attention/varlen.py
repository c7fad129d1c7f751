"""Attention by PyTorch's kernels for sequences of various lengths over a paged cache (`varlen_attn`), on CUDA."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from serving.batch import Batch
from serving.model.attention.base import AttentionSpec
from serving.model.attention.heads import split_heads


class Varlen(Protocol):
    """`torch.nn.attention.varlen.varlen_attn`, as far as it is used."""

    def __call__(
        self,
        query: torch.Tensor,  # [tokens, heads, head_dim], 16 bits
        key: torch.Tensor,  # [blocks, block_size, kv_heads, head_dim], as the next
        value: torch.Tensor,
        cu_seq_q: torch.Tensor,  # [sequences + 1] int32: first rows
        cu_seq_k: torch.Tensor | None,
        max_q: int,
        max_k: int,
        *,
        scale: float,
        window_size: tuple[int, int],  # tokens seen before and after a token's own place; -1: all
        enable_gqa: bool,
        seqused_k: torch.Tensor,  # [sequences] int32: lengths, from the first cached token to the last of the step
        block_table: torch.Tensor,  # [sequences, width] int32
    ) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VarlenPlan:
    """What the kernels are told about a step. Tensors are on the device."""

    positions: torch.Tensor  # [tokens] int64
    slots: torch.Tensor  # [tokens] int64
    first_rows: torch.Tensor  # [sequences + 1] int32
    lengths: torch.Tensor  # [sequences] int32
    tables: torch.Tensor  # [sequences, width] int32
    max_rows: int
    max_length: int

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> "VarlenPlan":
        """One transfer for all."""
        lengths = batch.positions[batch.starts[1:] - 1] + 1
        parts = (batch.positions, batch.slots, batch.starts, lengths, batch.tables.ravel())
        numbers = torch.from_numpy(np.concatenate(parts)).to(device, non_blocking=True)
        positions, slots, *others = torch.split(numbers, [len(part) for part in parts])
        first_rows, lengths_there, tables = (other.to(torch.int32) for other in others)
        return cls(
            positions=positions,
            slots=slots,
            first_rows=first_rows,
            lengths=lengths_there,
            tables=tables.view(batch.tables.shape),
            max_rows=int(batch.counts.max()),
            max_length=int(lengths.max()),
        )


class VarlenAttention:
    """See `serving.model.attention.base.Attention`. A layer's cache is [blocks, block_size, kv_heads, head_dim].

    Queries, keys and values are of one 16-bit type. There is a block more than is told, for rows that are there
    only to fill a CUDA graph.
    """

    def __init__(
        self,
        specs: Sequence[AttentionSpec],
        num_blocks: int,
        block_size: int,
        dtype: torch.dtype,
        device: torch.device,
        varlen: Varlen,
    ) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.plan: VarlenPlan | None = None
        self._specs, self._device, self._varlen = specs, device, varlen
        self._caches = [
            torch.zeros(2, num_blocks + 1, block_size, spec.kv_heads, spec.head_dim, dtype=dtype, device=device)
            for spec in specs
        ]

    @property
    def scratch_block(self) -> int:
        """The block for nobody's keys and values."""
        return self.num_blocks

    def begin(self, batch: Batch) -> None:
        self.plan = VarlenPlan.of(batch, self._device)

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        plan, spec = self.plan, self._specs[layer]
        assert plan is not None, "no step has begun"
        q, k, v = split_heads(qkv, spec, plan.positions)
        keys, values = self._caches[layer]
        keys.flatten(0, 1)[plan.slots], values.flatten(0, 1)[plan.slots] = k, v
        out = self._varlen(
            q,
            keys,
            values,
            plan.first_rows,
            None,
            plan.max_rows,
            plan.max_length,
            scale=spec.scale,
            window_size=(spec.window - 1, 0),
            enable_gqa=spec.heads != spec.kv_heads,
            seqused_k=plan.lengths,
            block_table=plan.tables,
        )
        return out.flatten(1)

    def copy_block(self, source: int, target: int) -> None:
        for cache in self._caches:
            cache[:, target] = cache[:, source]
