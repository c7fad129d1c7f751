"""Number formats: of weights, activations and the KV cache."""

from dataclasses import dataclass
from typing import Literal

import torch

from serving.model.kernels.library import kernels
from serving.model.torchao_linear import require_torchao

Quantization = Literal["auto", "none", "int8", "int4"]

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What weights are rounded to, what activations and the KV cache are, and where.

    With the compiled kernels, and wherever a CPU has quantized weights, activations are float32. So they are on a CPU
    without bfloat16 arithmetic.
    """

    weights: torch.dtype
    activations: torch.dtype
    kv_cache: torch.dtype
    device: torch.device
    quantization: Quantization = "none"
    as_stored: bool = (
        False  # whether weights of 16 and 32 bits stay as the file has them: auto without a configured type
    )
    kernels: bool = False  # whether the compiled kernels are used; then activations are float32

    def round(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight rounded to the weights' type, in the activations' type, on the device."""
        rounded = weight if self.as_stored else weight.to(self.weights)
        return rounded.to(device=self.device, dtype=self.activations)


def choose_precision(
    dtype: str, device: str, quantization: Quantization = "none", kv_cache_dtype: str = "auto", *, compiled: bool = True
) -> Precision:
    """The one place that decides on types and on who multiplies. Arguments as in `EngineConfig`."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    weights = _DTYPES.get(dtype, torch.bfloat16)
    if device == "cuda" and quantization == "auto":
        quantization = "none"  # what a GPU has kernels for depends on what is installed; an answer must not
    if device == "cuda" and quantization != "none":
        require_torchao(quantization, weights)
    on_kernels = compiled and device == "cpu" and kernels() is not None
    own = device != "cpu" or (not on_kernels and quantization == "none" and _native(weights))
    activations = weights if own else torch.float32
    return Precision(
        weights=weights,
        activations=activations,
        kv_cache=_DTYPES.get(kv_cache_dtype, weights),
        device=torch.device(device),
        quantization=quantization,
        as_stored=quantization == "auto" and dtype == "auto",
        kernels=on_kernels,
    )


def _native(dtype: torch.dtype) -> bool:
    """Whether PyTorch multiplies matrices of this type fast on this CPU. Its sums depend on the number of rows."""
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.cpu._is_avx512_bf16_supported()))
