"""The layers that are not matrix products: embedding, norm, rotary positions, gated activation."""

import torch
import torch.nn.functional as F

from serving.linear import Precision


class Embedding:
    """Token ids [tokens] to [tokens, hidden_size]. The table stays in the weights' type."""

    def __init__(self, table: torch.Tensor, precision: Precision) -> None:
        self._table = table.to(device=precision.device, dtype=precision.weights)
        self._activations = precision.activations

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        return F.embedding(token_ids, self._table).to(self._activations)


class RMSNorm:
    """Root-mean-square norm over the last dimension (Zhang and Sennrich 2019)."""

    def __init__(self, weight: torch.Tensor, eps: float, precision: Precision) -> None:
        self._weight = precision.round(weight)
        self._shape = tuple(weight.shape)
        self._eps = eps

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, self._shape, self._weight, self._eps)


class Rotary:
    """Rotary positions (Su et al. 2021), first and second half of a head paired as Hugging Face models do."""

    def __init__(self, head_dim: int, max_position: int, theta: float, precision: Precision) -> None:
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
        angles = torch.outer(torch.arange(max_position, dtype=torch.float32), 1.0 / theta**exponents)
        self._cos = angles.cos().to(device=precision.device, dtype=precision.activations)
        self._sin = angles.sin().to(device=precision.device, dtype=precision.activations)

    def at(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines [tokens, 1, head_dim / 2] of these positions, computed once a step."""
        return self._cos[positions].unsqueeze(1), self._sin[positions].unsqueeze(1)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate heads [tokens, heads, head_dim] by their positions' angles."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    rotated = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    torch.mul(first, cos, out=rotated[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=rotated[..., half:]).addcmul_(first, sin)
    return rotated


def silu_gate(gate_up: torch.Tensor) -> torch.Tensor:
    """[tokens, 2 * size] to silu(first half) * second half, [tokens, size]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)
