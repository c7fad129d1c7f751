"""The seam for weight formats: a linear layer, and the precision that decides which kind is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F

_DTYPES = {
    "auto": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
}
_HALF_MAX = torch.finfo(torch.float16).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What weights are rounded to, what activations (and the KV cache) are, and where.

    They differ on a CPU without bfloat16 arithmetic: its 16-bit matrix products are several times slower than
    float32, so that 16-bit weights are multiplied with float32 activations there.
    """

    weights: torch.dtype
    activations: torch.dtype
    device: torch.device

    def round(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight rounded to the weights' type, in the activations' type, on the device."""
        return weight.to(self.weights).to(device=self.device, dtype=self.activations)


def choose_precision(dtype: str, device: str) -> Precision:
    """The one place that decides the activations' type. `dtype` and `device` as in `EngineConfig`."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    weights = _DTYPES[dtype]
    native = device != "cpu" or weights == torch.float32 or (weights == torch.bfloat16 and _cpu_has_bf16())
    return Precision(weights=weights, activations=weights if native else torch.float32, device=torch.device(device))


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported())


class Linear(Protocol):
    """y = x Wᵀ + b, [rows, in_features] to [rows, out_features] in the activations' type."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...


class DenseLinear:
    """Weights and activations in one type; in float32 the exact reference."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._weight = weight
        self._bias = bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self._weight, self._bias)


class PackedHalfLinear:
    """float16 weights packed by FBGEMM, float32 activations and accumulation. CPU only.

    A bfloat16 weight is exact in float16 from 6.1e-5 up to 65504; below that it is off by at most 3e-8.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._packed)
        return y


def make_linear(weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor | None], precision: Precision) -> Linear:
    """One layer of several float32 weights [out_i, in] that share their input (QKV, gate and up), stacked."""
    weight = precision.round(torch.cat(list(weights)))
    bias = _stack_biases(weights, biases, precision)
    if _can_pack(weight, precision):
        return PackedHalfLinear(weight, bias)
    return DenseLinear(weight, bias)


def _stack_biases(
    weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor | None], precision: Precision
) -> torch.Tensor | None:
    if all(bias is None for bias in biases):
        return None
    filled = [
        torch.zeros(weight.shape[0]) if bias is None else bias for weight, bias in zip(weights, biases, strict=True)
    ]
    return precision.round(torch.cat(filled))


def _can_pack(weight: torch.Tensor, precision: Precision) -> bool:
    """16-bit weights with float32 activations, an FBGEMM build, and float16's range suffices."""
    engines = torch.backends.quantized.supported_engines
    return precision.weights != precision.activations and "fbgemm" in engines and float(weight.abs().max()) <= _HALF_MAX
