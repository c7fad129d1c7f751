"""Linear layers: their protocol, PyTorch's implementations, and the choice of an implementation."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F

from serving.core import ModelLoadError
from serving.model.fused_input import FusedInput, Gate, RMSNorm
from serving.model.kernels import linear as compiled
from serving.model.kernels.linear import rounded_int4, rounded_int8
from serving.model.precision import Precision
from serving.model.torchao_linear import Bits, TorchaoLinear
from serving.model.weights import GROUP, INT4, Matrix, StackedMatrix

_DTYPES = {
    compiled.Format.FLOAT32: torch.float32,
    compiled.Format.BFLOAT16: torch.bfloat16,
    compiled.Format.FLOAT16: torch.float16,
}
_FORMATS = {dtype: format for format, dtype in _DTYPES.items()}
_HALF_MAX = torch.finfo(torch.float16).max


class Linear(Protocol):
    """y = fused_input(x) Wᵀ + b, in the activations' type."""

    @property
    def nbytes(self) -> int:
        """Bytes of weights that a call reads."""
        ...

    @property
    def num_parameters(self) -> int: ...

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """x is [rows, in_features], or [rows, 2 * in_features] for a gate. y is [rows, out_features].

        With `out` (the residual), y is added to it in place, and `out` is returned.
        """
        ...


class DenseLinear:
    """PyTorch's own product. Weights and activations have the same type."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, fused_input: FusedInput | None) -> None:
        self._weight = weight
        self._bias = bias
        self._fused_input = fused_input

    @property
    def nbytes(self) -> int:
        return self._weight.nbytes

    @property
    def num_parameters(self) -> int:
        return self._weight.numel()

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        x = x if self._fused_input is None else self._fused_input(x)
        y = F.linear(x, self._weight, self._bias)
        return y if out is None else out.add_(y)


class HalfLinear:
    """float16 weights packed by FBGEMM, float32 activations: for a CPU without bfloat16 and without a compiler.

    A bfloat16 weight is exact in float16 from 6.1e-5 up to 65504; below that it is off by at most 3e-8.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, fused_input: FusedInput | None) -> None:
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)
        self._fused_input = fused_input
        self.num_parameters = weight.numel()

    @property
    def nbytes(self) -> int:
        return 2 * self.num_parameters

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        x = x if self._fused_input is None else self._fused_input(x)
        y: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._packed)
        return y if out is None else out.add_(y)


def make_linear(
    weights: Sequence[Matrix],
    biases: Sequence[torch.Tensor | None],
    precision: Precision,
    fused_input: FusedInput | None = None,
    *,
    min_bits: int = 4,
) -> Linear:
    """One layer of several stacked matrices [out_i, in] that share their input (QKV, gate and up).

    With `min_bits` 8 the layer is int8 where it would be int4. `ModelLoadError` when the quantization does not support
    the layer's size.
    """
    weight = weights[0] if len(weights) == 1 else StackedMatrix(weights)
    bias = _stack_biases(weights, biases, precision)
    format = _format(precision, weight, min_bits)
    if precision.quantization not in ("none", "auto") and weight.shape[1] % GROUP:
        raise ModelLoadError(
            f"quantization {precision.quantization!r} needs layers of a multiple of {GROUP} inputs, "
            f"one has {weight.shape[1]}; use 'none'."
        )
    if precision.quantization != "none" and precision.device.type == "cuda":
        bits: Bits = 4 if format is compiled.Format.INT4 else 8
        device, dtype = precision.device, precision.activations
        return TorchaoLinear(_all(weight), bias, fused_input, bits=bits, device=device, dtype=dtype)
    if precision.kernels:
        return _compiled(weight, bias, format, fused_input)
    return _by_pytorch(weight, bias, precision, format, fused_input)


def _by_pytorch(
    weight: Matrix,
    bias: torch.Tensor | None,
    precision: Precision,
    format: compiled.Format,
    fused_input: FusedInput | None,
) -> Linear:
    if format is compiled.Format.INT4:
        quantized = weight.storage_format in INT4  # the kernels use these values too, with scales rounded to float16
        return DenseLinear(_all(weight) if quantized else rounded_int4(_all(weight)), bias, fused_input)
    if format is compiled.Format.INT8:
        return DenseLinear(rounded_int8(_all(weight)), bias, fused_input)
    rounded = _all(weight).to(_DTYPES[format]).to(device=precision.device, dtype=precision.activations)
    return (
        HalfLinear(rounded, bias, fused_input)
        if format is not compiled.Format.FLOAT32 and _can_pack(rounded, precision)
        else DenseLinear(rounded, bias, fused_input)
    )


def _all(matrix: Matrix) -> torch.Tensor:
    return matrix.rows(0, matrix.shape[0])


def _format(precision: Precision, weight: Matrix, min_bits: int) -> compiled.Format:
    if precision.quantization == "auto":
        return _auto_format(precision, weight, min_bits)
    if precision.quantization == "none":
        return _FORMATS[precision.weights]
    return compiled.Format.INT4 if precision.quantization == "int4" and min_bits <= 4 else compiled.Format.INT8


def _auto_format(precision: Precision, weight: Matrix, min_bits: int) -> compiled.Format:
    """The file's format for quantized weights whose rows consist of full groups. With `keep_dtype`, weights of more
    than 8 bits keep the file's type. All other weights get the configured type."""
    found = weight.storage_format
    if found in (*INT4, "int8") and weight.shape[1] % GROUP == 0:
        return compiled.Format.INT4 if found in INT4 and min_bits <= 4 else compiled.Format.INT8
    if found in (*INT4, "int8") or not precision.keep_dtype:
        return _FORMATS[precision.weights]
    return compiled.Format[found.upper()]


def _compiled(
    weight: Matrix, bias: torch.Tensor | None, format: compiled.Format, fused_input: FusedInput | None
) -> Linear:
    if isinstance(fused_input, RMSNorm):
        kind = compiled.FusedInput.RMS_NORM
        return compiled.PackedLinear(weight, bias, format, kind, fused_input.weight, fused_input.eps)
    if isinstance(fused_input, Gate):
        silu = fused_input.activation == "silu"
        return compiled.PackedLinear(
            weight, bias, format, compiled.FusedInput.SILU_GATE if silu else compiled.FusedInput.GELU_GATE
        )
    return compiled.PackedLinear(weight, bias, format)


def _stack_biases(
    weights: Sequence[Matrix], biases: Sequence[torch.Tensor | None], precision: Precision
) -> torch.Tensor | None:
    if all(bias is None for bias in biases):
        return None
    filled = [
        torch.zeros(weight.shape[0]) if bias is None else bias for weight, bias in zip(weights, biases, strict=True)
    ]
    return precision.round(torch.cat(filled))


def _can_pack(weight: torch.Tensor, precision: Precision) -> bool:
    """Whether `HalfLinear` can serve: 16-bit weights within float16's range, float32 activations, and FBGEMM."""
    engines = torch.backends.quantized.supported_engines
    return precision.weights != precision.activations and "fbgemm" in engines and float(weight.abs().max()) <= _HALF_MAX
