"""A step's tokens as tensors: what to embed, where to cache it, what to attend to."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from serving.scheduler import ScheduledSequence

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLayout:
    """What is needed to address the KV cache, [blocks, kv_heads, block_size, head_dim] a layer."""

    block_size: int
    num_kv_heads: int
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRows:
    """The first `count` rows: one token each of `count` sequences, contexts padded to the longest."""

    count: int
    runs: torch.Tensor  # [count * kv_heads * blocks] see block_runs
    bias: torch.Tensor  # [count * kv_heads, 1, blocks * block_size] 0, or -inf past a context's end


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillRows:
    """Rows [start, stop): consecutive tokens of one sequence, the last of which is token `context` - 1 of it.

    `runs` and `mask` are None for a prompt's beginning, whose keys are all among the rows.
    """

    start: int
    stop: int
    context: int
    runs: torch.Tensor | None  # [kv_heads * blocks] see block_runs
    mask: torch.Tensor | None  # [rows, context] True where a row may look


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows are the step's tokens: decodes first, then prefills."""

    token_ids: torch.Tensor  # [tokens] int64
    positions: torch.Tensor  # [tokens] int64
    slots: torch.Tensor  # [tokens * kv_heads] index of (block, kv_head, slot), flattened
    decode: DecodeRows | None
    prefills: tuple[PrefillRows, ...]
    sampled_rows: torch.Tensor  # [sampled] int64
    sampled: tuple[ScheduledSequence, ...]


def build_batch(step: Seq[ScheduledSequence], layout: CacheLayout) -> Batch:
    """A single token, be it a prompt's last piece, is decoded; anything longer is prefilled."""
    decodes = [item for item in step if item.count == 1]
    prefills = [item for item in step if item.count > 1]
    items = decodes + prefills
    stops = np.cumsum([item.count for item in items])
    positions = np.concatenate([np.arange(item.start, item.start + item.count) for item in items])
    token_ids = [t for item in items for t in item.sequence.token_ids[item.start : item.start + item.count]]
    return Batch(
        token_ids=_tensor(np.array(token_ids), layout),
        positions=_tensor(positions, layout),
        slots=_tensor(_slots(items, positions, layout), layout),
        decode=_decode_rows(decodes, layout) if decodes else None,
        prefills=tuple(
            _prefill_rows(item, int(stop), layout) for item, stop in zip(prefills, stops[len(decodes) :], strict=True)
        ),
        sampled_rows=_tensor(
            np.array([stop - 1 for item, stop in zip(items, stops, strict=True) if item.samples], np.int64),
            layout,
        ),
        sampled=tuple(item for item in items if item.samples),
    )


def block_runs(tables: Ints, num_kv_heads: int) -> Ints:
    """Block tables [sequences, blocks] to indices of (block, kv_head), [sequences, kv_heads, blocks]."""
    heads = np.arange(num_kv_heads)[None, :, None]
    runs: Ints = (tables[:, None, :] * num_kv_heads + heads).ravel()
    return runs


def _slots(items: Seq[ScheduledSequence], positions: Ints, layout: CacheLayout) -> Ints:
    tables = [
        np.array(item.sequence.block_table)[np.arange(item.start, item.start + item.count) // layout.block_size]
        for item in items
    ]
    blocks = np.concatenate(tables)[:, None]  # [tokens, 1]
    heads = np.arange(layout.num_kv_heads)[None, :]
    offsets = (positions % layout.block_size)[:, None]
    slots: Ints = ((blocks * layout.num_kv_heads + heads) * layout.block_size + offsets).ravel()
    return slots


def _decode_rows(items: Seq[ScheduledSequence], layout: CacheLayout) -> DecodeRows:
    contexts = np.array([item.start + 1 for item in items])
    width = -(-int(contexts.max()) // layout.block_size)
    tables = np.zeros((len(items), width), np.int64)  # padding reads block 0, masked
    for row, item in zip(tables, items, strict=True):
        used = item.sequence.block_table[:width]
        row[: len(used)] = used
    bias = np.where(np.arange(width * layout.block_size) < contexts[:, None], np.float32(0), np.float32("-inf"))
    return DecodeRows(
        count=len(items),
        runs=_tensor(block_runs(tables, layout.num_kv_heads), layout),
        bias=_tensor(bias.repeat(layout.num_kv_heads, axis=0)[:, None, :], layout).to(layout.dtype),
    )


def _prefill_rows(item: ScheduledSequence, stop: int, layout: CacheLayout) -> PrefillRows:
    start, context = stop - item.count, item.start + item.count
    if item.start == 0:
        return PrefillRows(start=start, stop=stop, context=context, runs=None, mask=None)
    table = np.array([item.sequence.block_table[: -(-context // layout.block_size)]])
    mask = np.arange(context)[None, :] <= np.arange(item.start, context)[:, None]
    return PrefillRows(
        start=start,
        stop=stop,
        context=context,
        runs=_tensor(block_runs(table, layout.num_kv_heads), layout),
        mask=_tensor(mask, layout),
    )


def _tensor(array: NDArray[np.generic], layout: CacheLayout) -> torch.Tensor:
    return torch.from_numpy(array).to(layout.device, non_blocking=True)
