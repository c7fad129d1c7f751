"""Number formats: of weights, activations and the KV cache."""

from dataclasses import dataclass
from typing import Literal

import torch

from serving.kernels.library import kernels
from serving.torchao_linear import require_torchao

Quantization = Literal["none", "int8", "int4"]

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What weights are rounded to, what activations and the KV cache are, and where.

    Weights and activations differ on a CPU without bfloat16 arithmetic, and on any where weights are quantized:
    activations are float32 there.
    """

    weights: torch.dtype
    activations: torch.dtype
    kv_cache: torch.dtype
    device: torch.device
    quantization: Quantization = "none"
    kernels: bool = False  # whether the compiled kernels are used; then activations are float32

    def round(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight rounded to the weights' type, in the activations' type, on the device."""
        return weight.to(self.weights).to(device=self.device, dtype=self.activations)


def choose_precision(
    dtype: str, device: str, quantization: Quantization = "none", kv_cache_dtype: str = "auto", *, compiled: bool = True
) -> Precision:
    """The one place that decides on types and on who multiplies. Arguments as in `EngineConfig`."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    weights = _DTYPES.get(dtype, torch.bfloat16)
    if device == "cuda" and quantization != "none":
        require_torchao(quantization, weights)
    activations = weights if device != "cpu" or (quantization == "none" and _native(weights)) else torch.float32
    return Precision(
        weights=weights,
        activations=activations,
        kv_cache=_DTYPES.get(kv_cache_dtype, weights),
        device=torch.device(device),
        quantization=quantization,
        kernels=compiled and device == "cpu" and activations == torch.float32 and kernels() is not None,
    )


def _native(dtype: torch.dtype) -> bool:
    """Whether this CPU multiplies matrices of this type fast."""
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.cpu._is_avx512_bf16_supported()))
