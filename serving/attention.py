"""Attention over a paged KV cache: prefill per sequence, decode batched over sequences."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from serving.batch import Batch, CacheLayout, DecodeRows, PrefillRows
from serving.models.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCache:
    """One layer's keys and values, each [blocks, kv_heads, block_size, head_dim].

    A head's slots of a block lie together, so that reading a sequence's context copies runs of
    block_size * head_dim numbers.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def write(self, k: torch.Tensor, v: torch.Tensor, slots: torch.Tensor) -> None:
        """Store [tokens, kv_heads, head_dim] at `Batch.slots`."""
        dim = k.shape[-1]
        self.keys.view(-1, dim).index_copy_(0, slots, k.reshape(-1, dim))
        self.values.view(-1, dim).index_copy_(0, slots, v.reshape(-1, dim))

    def read(self, runs: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [groups, slots, head_dim] of `runs` (see `batch.block_runs`)."""
        size, dim = self.keys.shape[2:]
        k = self.keys.view(-1, size * dim).index_select(0, runs)
        v = self.values.view(-1, size * dim).index_select(0, runs)
        return k.view(groups, -1, dim), v.view(groups, -1, dim)


class KVCache:
    """Every layer's keys and values in one allocation, [layers, 2, blocks, kv_heads, block_size, head_dim].

    Zeroed, since a masked slot still takes part in a product: 0 * NaN would not vanish.
    """

    def __init__(self, layout: CacheLayout, num_blocks: int, num_layers: int, head_dim: int) -> None:
        shape = (num_layers, 2, num_blocks, layout.num_kv_heads, layout.block_size, head_dim)
        data = torch.zeros(shape, dtype=layout.dtype, device=layout.device)
        self.layout = layout
        self.num_blocks = num_blocks
        self.layers = [LayerCache(keys=layer[0], values=layer[1]) for layer in data]


def block_bytes(config: ModelConfig, layout: CacheLayout) -> int:
    """Bytes of one block over all layers."""
    slot = config.num_layers * 2 * config.num_kv_heads * config.head_dim * layout.dtype.itemsize
    return slot * layout.block_size


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, batch: Batch, cache: LayerCache) -> torch.Tensor:
    """Causal attention of a step's tokens over their own sequences; caches `k` and `v`.

    q is [tokens, heads, head_dim], k and v [tokens, kv_heads, head_dim], rows in the batch's order.
    The result is [tokens, heads * head_dim].
    """
    cache.write(k, v, batch.slots)
    pieces = []
    if batch.decode is not None:
        pieces.append(_decode(q[: batch.decode.count], batch.decode, cache))
    pieces += [_prefill(q, k, v, rows, cache) for rows in batch.prefills]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _decode(q: torch.Tensor, rows: DecodeRows, cache: LayerCache) -> torch.Tensor:
    """One new token per sequence, contexts padded to the longest; a KV head serves its group at once."""
    count, heads, dim = q.shape
    kv_heads = cache.keys.shape[1]
    k, v = cache.read(rows.runs, count * kv_heads)
    grouped = q.reshape(count * kv_heads, heads // kv_heads, dim)
    scores = torch.baddbmm(rows.bias, grouped, k.transpose(1, 2), alpha=dim**-0.5)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(v.dtype)
    return torch.bmm(weights, v).view(count, heads * dim)


def _prefill(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: PrefillRows, cache: LayerCache) -> torch.Tensor:
    """A prompt, or a later piece of one (then its earlier keys and values come from the cache)."""
    count, heads, dim = rows.stop - rows.start, q.shape[1], q.shape[2]
    kv_heads = k.shape[1]
    keys, values = k[rows.start : rows.stop].transpose(0, 1), v[rows.start : rows.stop].transpose(0, 1)
    if rows.runs is not None:
        keys, values = (past[:, : rows.context] for past in cache.read(rows.runs, kv_heads))
    # KV heads as the batch and their groups as heads: keys and values are broadcast, not copied per head.
    queries = q[rows.start : rows.stop].transpose(0, 1).view(kv_heads, heads // kv_heads, count, dim)
    out = F.scaled_dot_product_attention(
        queries,
        keys.unsqueeze(1).expand(-1, heads // kv_heads, -1, -1),
        values.unsqueeze(1).expand(-1, heads // kv_heads, -1, -1),
        attn_mask=rows.mask,
        is_causal=rows.mask is None,
    )
    return out.permute(2, 0, 1, 3).reshape(count, heads * dim)
