"""The number formats of weights, activations and the KV cache."""

from dataclasses import dataclass
from typing import Literal

import torch

from serving.model.kernels.library import kernels
from serving.model.torchao_linear import require_torchao

Quantization = Literal["auto", "none", "int8", "int4"]

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """The types of weights, activations and the KV cache, the quantization, and the device.

    On a CPU, activations are float32 with the compiled kernels, with quantized weights, and if the CPU has no bfloat16
    arithmetic.

    With `keep_dtype`, weights of 16 and 32 bits keep the file's type: quantization "auto" without a configured type.
    `kernels` says whether the compiled kernels are used.
    """

    weights: torch.dtype
    activations: torch.dtype
    kv_cache: torch.dtype
    device: torch.device
    quantization: Quantization = "none"
    keep_dtype: bool = False
    kernels: bool = False

    def round(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight rounded to the weights' type (not with `keep_dtype`), in the activations' type, on the device."""
        rounded = weight if self.keep_dtype else weight.to(self.weights)
        return rounded.to(device=self.device, dtype=self.activations)


def choose_precision(
    dtype: str, device: str, quantization: Quantization = "none", kv_cache_dtype: str = "auto", *, compiled: bool = True
) -> Precision:
    """Decides on all types, the device and the use of the compiled kernels. Arguments as in `EngineConfig`.

    `ModelLoadError` for a quantization that is not available on the device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    weights = _DTYPES.get(dtype, torch.bfloat16)
    if device == "cuda" and quantization == "auto":
        quantization = "none"  # an answer must not depend on which quantization packages are installed
    if device == "cuda" and quantization != "none":
        require_torchao(quantization, weights)
    on_kernels = compiled and device == "cpu" and kernels() is not None
    in_weights_dtype = device != "cpu" or (not on_kernels and quantization == "none" and _native(weights))
    activations = weights if in_weights_dtype else torch.float32
    return Precision(
        weights=weights,
        activations=activations,
        kv_cache=_DTYPES.get(kv_cache_dtype, weights),
        device=torch.device(device),
        quantization=quantization,
        keep_dtype=quantization == "auto" and dtype == "auto",
        kernels=on_kernels,
    )


def _native(dtype: torch.dtype) -> bool:
    """Whether PyTorch multiplies matrices of this type fast on this CPU. The order of its sums depends on the number of
    rows."""
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.cpu._is_avx512_bf16_supported()))
