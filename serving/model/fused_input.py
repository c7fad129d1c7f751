"""Operations on a linear layer's input that are fused into the layer: a norm or a gate."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

Activation = Literal["silu", "gelu_tanh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RMSNorm:
    """x / sqrt(mean(x²) + eps) * weight over the last dimension (Zhang and Sennrich 2019)."""

    weight: torch.Tensor  # [size], in the activations' type
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, tuple(self.weight.shape), self.weight, self.eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """activation(first half) * second half: [rows, 2 * size] to [rows, size]."""

    activation: Activation

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = x.chunk(2, dim=-1)
        activated = F.silu(gate) if self.activation == "silu" else F.gelu(gate, approximate="tanh")
        return activated.mul_(up)


FusedInput = RMSNorm | Gate
