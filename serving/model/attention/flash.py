"""Attention on CUDA by PyTorch's variable-length kernels (`varlen_attn`), if a trial shows that they are correct."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import torch
from torch.nn.attention import activate_flash_attention_impl

from serving.core import Batch
from serving.model.attention.base import Attention, AttentionSpec, split_heads
from serving.model.attention.eager import EagerAttention
from serving.model.precision import Precision

_LOG = logging.getLogger(__name__)
_IMPLEMENTATIONS = {9: "FA3", 10: "FA4"}  # by a GPU's major compute capability; PyTorch includes FA2
_CONTEXTS = (33, 1, 18)  # tokens of each sequence of the trial
_TOLERANCE = 0.05  # absolute, for 16-bit averages of values of about 1


class Varlen(Protocol):
    """The part of `torch.nn.attention.varlen.varlen_attn` that is used here."""

    def __call__(
        self,
        query: torch.Tensor,  # [tokens, heads, head_dim], 16 bits
        key: torch.Tensor,  # [blocks, block_size, kv_heads, head_dim]
        value: torch.Tensor,  # [blocks, block_size, kv_heads, head_dim]
        cu_seq_q: torch.Tensor,  # [sequences + 1] int32: the first row of each sequence
        cu_seq_k: torch.Tensor | None,
        max_q: int,
        max_k: int,
        *,
        scale: float,
        window_size: tuple[int, int],  # visible tokens before and after a token; -1: all
        enable_gqa: bool,
        seqused_k: torch.Tensor,  # [sequences] int32: cached tokens, those of the step included
        block_table: torch.Tensor,  # [sequences, width] int32
    ) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VarlenPlan:
    """The kernels' arguments for a step. Tensors are on the device."""

    positions: torch.Tensor  # [tokens] int64
    slots: torch.Tensor  # [tokens] int64
    first_rows: torch.Tensor  # [sequences + 1] int32
    lengths: torch.Tensor  # [sequences] int32
    tables: torch.Tensor  # [sequences, width] int32
    max_rows: int
    max_length: int

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> "VarlenPlan":
        """The plan of a batch, transferred to the device in one copy."""
        lengths = batch.positions[batch.starts[1:] - 1] + 1
        parts = (batch.positions, batch.slots, batch.starts, lengths, batch.tables.ravel())
        numbers = torch.from_numpy(np.concatenate(parts)).to(device, non_blocking=True)
        positions, slots, *others = torch.split(numbers, [len(part) for part in parts])
        first_rows, device_lengths, tables = (other.to(torch.int32) for other in others)
        return cls(
            positions=positions,
            slots=slots,
            first_rows=first_rows,
            lengths=device_lengths,
            tables=tables.view(batch.tables.shape),
            max_rows=int(batch.counts.max()),
            max_length=int(lengths.max()),
        )


class VarlenAttention:
    """A `serving.model.attention.base.Attention`. A layer's cache is [blocks, block_size, kv_heads, head_dim].

    Queries, keys and values have the same 16-bit type. The cache has one block more than `num_blocks`: the scratch
    block, for rows that only pad a CUDA graph.
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
        """The block for the keys and values of rows that belong to no sequence."""
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


def flash_attention(
    specs: Sequence[AttentionSpec], num_blocks: int, block_size: int, precision: Precision
) -> VarlenAttention | None:
    """Attention by the kernels; None if they can't be used. The log then has a warning with the reason."""
    from torch.nn.attention.varlen import varlen_attn  # the import takes over a second

    _activate(precision.device)
    varlen = cast(Varlen, varlen_attn)  # it returns a pair only with `return_aux`
    reason = unusable_reason(specs, block_size, precision, varlen)
    if reason is not None:
        _LOG.warning(
            "attention runs on PyTorch's operators without CUDA graphs, which is slower: %s. Some kernels need a block "
            "size that is a multiple of 256 tokens: try block_size=256.",
            reason,
        )
        return None
    return VarlenAttention(specs, num_blocks, block_size, precision.kv_cache, precision.device, varlen)


def unusable_reason(
    specs: Sequence[AttentionSpec], block_size: int, precision: Precision, varlen: Varlen
) -> str | None:
    """Why `varlen` can't be used for these layers; None if it can. For each kind of layer, its results are compared
    with those of `EagerAttention`."""
    if precision.activations not in (torch.bfloat16, torch.float16):
        return f"the kernels take bfloat16 and float16, not {precision.activations}"
    if precision.kv_cache != precision.activations:
        return f"the kernels take a KV cache of the activations' type, not of {precision.kv_cache}"
    kinds = {(spec.heads, spec.kv_heads, spec.head_dim, spec.window): spec for spec in specs}
    try:
        difference = max(_difference(spec, block_size, precision, varlen) for spec in kinds.values())
    except (RuntimeError, ValueError, NotImplementedError) as error:
        return " ".join(str(error).split())[:200]
    return None if difference <= _TOLERANCE else f"the kernels' results are off by {difference:.2g}"


def _activate(device: torch.device) -> None:
    """Activates the kernels for this GPU's generation if their package is installed. They support any block size."""
    implementation = _IMPLEMENTATIONS.get(torch.cuda.get_device_capability(device)[0])
    if implementation is None:
        return
    try:
        activate_flash_attention_impl(implementation)
    except Exception as error:  # third-party packages may raise anything; FA2 remains active
        _LOG.info("%s is not used: %s", implementation, error)


def _difference(spec: AttentionSpec, block_size: int, precision: Precision, varlen: Varlen) -> float:
    """The largest absolute difference from `EagerAttention`, over a step of prompts and a step of one token each. NaN
    counts as infinite."""
    dtype, device = precision.kv_cache, precision.device
    width = -(-max(_CONTEXTS) // block_size)
    blocks = width * len(_CONTEXTS)
    short = replace(spec, window=min(spec.window, 7))  # shorter than the contexts: a wrong window makes a difference
    eager = EagerAttention([short], blocks, block_size, dtype, device)
    trial = VarlenAttention([short], blocks, block_size, dtype, device, varlen)
    random = torch.Generator().manual_seed(0)
    difference = 0.0
    for batch in _trial_steps(width, block_size):
        shape = (len(batch.token_ids), (spec.heads + 2 * spec.kv_heads) * spec.head_dim)
        qkv = torch.randn(shape, generator=random).to(device=device, dtype=precision.activations)
        result, expected = (_attend(attention, batch, qkv) for attention in (trial, eager))
        difference = max(difference, float((result - expected).abs().max().nan_to_num(nan=torch.inf)))
    return difference


def _attend(attention: Attention, batch: Batch, qkv: torch.Tensor) -> torch.Tensor:
    attention.begin(batch)
    return attention(0, qkv.clone()).float()


def _trial_steps(width: int, block_size: int) -> list[Batch]:
    """Two steps: all tokens but the last of each sequence (if it has more than one), then the last tokens."""
    tables = np.arange(width * len(_CONTEXTS))[::-1].reshape(-1, width)
    prompts = [(index, range(length - 1)) for index, length in enumerate(_CONTEXTS) if length > 1]
    last = [(index, range(length - 1, length)) for index, length in enumerate(_CONTEXTS)]
    return [_trial_step(rows, tables, block_size) for rows in (prompts, last)]


def _trial_step(rows: list[tuple[int, range]], tables: np.typing.NDArray[np.int64], block_size: int) -> Batch:
    positions = np.concatenate([np.array(tokens) for _, tokens in rows])
    counts = np.array([len(tokens) for _, tokens in rows])
    own = tables[[index for index, _ in rows]]
    blocks = own[np.repeat(np.arange(len(rows)), counts), positions // block_size]
    return Batch(
        items=(),
        counts=counts,
        starts=np.concatenate([[0], np.cumsum(counts)]),
        token_ids=np.zeros_like(positions),
        positions=positions,
        slots=blocks * block_size + positions % block_size,
        tables=np.ascontiguousarray(own),
        sampled_rows=np.zeros(0, np.int64),
    )
