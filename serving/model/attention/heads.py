"""From the output of the merged QKV layer to heads."""

import torch
import torch.nn.functional as F

from serving.model.attention.base import AttentionSpec
from serving.model.layers import rotate


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
