"""Attention by PyTorch's operators, on any device: decoding sequences in one batch, prefill one by one."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from serving.core import Batch, Ints
from serving.model.attention.base import AttentionSpec, empty_cache, split_heads


@dataclass(frozen=True, slots=True, kw_only=True)
class _DecodeRows:
    """The first `count` rows: one token each of `count` sequences. Contexts are padded to the longest."""

    count: int
    blocks: torch.Tensor  # [count, width] block ids
    distance: torch.Tensor  # [count, width * block_size] query position - key position; below 0 past the context's end


@dataclass(frozen=True, slots=True, kw_only=True)
class _PrefillRows:
    """Rows [start, stop): consecutive tokens of one sequence. The last one is at position `context` - 1."""

    start: int
    stop: int
    context: int
    blocks: torch.Tensor  # [width]
    distance: torch.Tensor  # [rows, context] query position - key position


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The rows of a step."""

    positions: torch.Tensor  # [tokens]
    slots: torch.Tensor  # [tokens]
    decode: _DecodeRows | None
    prefills: tuple[_PrefillRows, ...]


class EagerAttention:
    """A `serving.model.attention.base.Attention`. A layer's cache is [blocks, kv_heads, block_size, head_dim]."""

    def __init__(
        self, specs: Seq[AttentionSpec], num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.num_blocks = num_blocks
        self._specs = specs
        self._block_size = block_size
        self._device = device
        self._caches = [
            tuple(empty_cache(spec, num_blocks, (block_size, spec.head_dim), dtype, device) for _ in range(2))
            for spec in specs
        ]
        self._plan: _Plan | None = None

    def begin(self, batch: Batch) -> None:
        decodes = int((batch.counts == 1).sum())
        self._plan = _Plan(
            positions=self._tensor(batch.positions),
            slots=self._tensor(batch.slots),
            decode=self._decode_rows(batch, decodes) if decodes else None,
            prefills=tuple(self._prefill_rows(batch, index) for index in range(decodes, len(batch.counts))),
        )

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        plan, spec = self._plan, self._specs[layer]
        assert plan is not None, "no step has begun"
        q, k, v = split_heads(qkv, spec, plan.positions)
        keys, values = self._caches[layer]
        for cache, new in ((keys, k), (values, v)):
            cache[plan.slots // self._block_size, :, plan.slots % self._block_size] = new.to(cache.dtype)
        pieces = []
        if plan.decode is not None:
            pieces.append(_decode(q[: plan.decode.count], plan.decode, keys, values, spec))
        pieces += [_prefill(q, rows, keys, values, spec) for rows in plan.prefills]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def copy_block(self, source: int, target: int) -> None:
        for keys, values in self._caches:
            keys[target], values[target] = keys[source], values[source]

    def _decode_rows(self, batch: Batch, count: int) -> _DecodeRows:
        contexts = batch.positions[:count] + 1
        width = -(-int(contexts.max()) // self._block_size)
        slots = np.arange(width * self._block_size)
        return _DecodeRows(
            count=count,
            blocks=self._tensor(batch.tables[:count, :width]),
            distance=self._tensor(contexts[:, None] - 1 - slots[None, :]),
        )

    def _prefill_rows(self, batch: Batch, index: int) -> _PrefillRows:
        start, stop = batch.starts[index : index + 2]
        positions = batch.positions[start:stop]
        context = int(positions[-1]) + 1
        return _PrefillRows(
            start=int(start),
            stop=int(stop),
            context=context,
            blocks=self._tensor(batch.tables[index, : -(-context // self._block_size)]),
            distance=self._tensor(positions[:, None] - np.arange(context)[None, :]),
        )

    def _tensor(self, array: NDArray[np.int64] | Ints) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device, non_blocking=True)


def _visible(distance: torch.Tensor, window: int) -> torch.Tensor:
    """The attention mask: causal, and within the window if there is one."""
    causal = distance >= 0
    return causal & (distance < window) if window else causal


def _decode(
    q: torch.Tensor, rows: _DecodeRows, keys: torch.Tensor, values: torch.Tensor, spec: AttentionSpec
) -> torch.Tensor:
    """One new token per sequence, with contexts padded to the longest. The query heads of a KV head's group share one
    product."""
    count, group = rows.count, spec.heads // spec.kv_heads
    k, v = (cache[rows.blocks].transpose(1, 2).flatten(2, 3).flatten(0, 1).to(q.dtype) for cache in (keys, values))
    grouped = q.reshape(count * spec.kv_heads, group, spec.head_dim)
    scores = torch.bmm(grouped, k.transpose(1, 2)).mul_(spec.scale).view(count, spec.kv_heads * group, -1)
    scores.masked_fill_(~_visible(rows.distance, spec.window).unsqueeze(1), float("-inf"))
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(v.dtype).view(count * spec.kv_heads, group, -1)
    return torch.bmm(weights, v).view(count, -1)


def _prefill(
    q: torch.Tensor, rows: _PrefillRows, keys: torch.Tensor, values: torch.Tensor, spec: AttentionSpec
) -> torch.Tensor:
    """A prompt or a chunk of one. It attends to the sequence's cached tokens, its own included."""
    count, group = rows.stop - rows.start, spec.heads // spec.kv_heads
    k, v = (cache[rows.blocks].transpose(0, 1).flatten(1, 2)[:, : rows.context].to(q.dtype) for cache in (keys, values))
    # The batch dimension is the KV head, the head dimension its group: keys and values are broadcast, not copied.
    queries = q[rows.start : rows.stop].transpose(0, 1).reshape(spec.kv_heads, group, count, spec.head_dim)
    out = F.scaled_dot_product_attention(
        queries,
        k.unsqueeze(1).expand(-1, group, -1, -1),
        v.unsqueeze(1).expand(-1, group, -1, -1),
        attn_mask=_visible(rows.distance, spec.window),
        scale=spec.scale,
    )
    return out.permute(2, 0, 1, 3).reshape(count, -1)
