"""A reference implementation of `torch.nn.attention.varlen.varlen_attn` by its documentation, on the CPU."""

from itertools import pairwise

import torch


def reference_varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor | None,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
    seqused_k: torch.Tensor,
    block_table: torch.Tensor,
) -> torch.Tensor:
    """Causal attention. The last row of a sequence attends to all of its `seqused_k` keys."""
    assert cu_seq_k is None, "the kernels refuse it together with a block table"
    assert {t.dtype for t in (cu_seq_q, seqused_k, block_table)} == {torch.int32}
    assert query.dtype == key.dtype == value.dtype
    assert enable_gqa or query.shape[1] == key.shape[2]
    starts, lengths = cu_seq_q.tolist(), seqused_k.tolist()
    outs = [
        _attend(query[start:stop], *_context(key, value, table, length), scale, window_size)
        for (start, stop), length, table in zip(pairwise(starts), lengths, block_table, strict=True)
    ]
    assert max(stop - start for start, stop in pairwise(starts)) <= max_q
    assert max(lengths) <= max_k
    return torch.cat(outs)


def _context(
    key: torch.Tensor, value: torch.Tensor, table: torch.Tensor, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    blocks = table[: -(-length // key.shape[1])].long()
    return key[blocks].flatten(0, 1)[:length].float(), value[blocks].flatten(0, 1)[:length].float()


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, window_size: tuple[int, int]
) -> torch.Tensor:
    group = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(group, dim=1) for x in (key, value))
    rows, length = len(query), len(key)
    distance = torch.arange(length - rows, length)[:, None] - torch.arange(length)[None, :]
    before, after = window_size
    seen = (distance <= before if before >= 0 else torch.ones_like(distance, dtype=torch.bool)) & (distance >= -after)
    scores = torch.einsum("qhd,khd->hqk", query.float(), key) * scale
    weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
    return torch.einsum("hqk,khd->qhd", weights, value).to(query.dtype)
