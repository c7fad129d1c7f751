"""Linear layers: their protocol, and which implementation serves a weight format."""

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
from serving.model.weights import GROUP, Matrix, StackedMatrix

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
        """Of the weights as they are read."""
        ...

    @property
    def num_parameters(self) -> int: ...

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """x is [rows, in_features] ([rows, 2 * in_features] for a gate); y [rows, out_features].

        With `out`, y is added to it and it is returned: the residual.
        """
        ...


class DenseLinear:
    """PyTorch's own product, weights and activations in one type."""

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
    least_bits: int = 4,
) -> Linear:
    """One layer of several matrices [out_i, in] that share their input (QKV, gate and up), stacked.

    `least_bits` 8 keeps the layer at int8 where others are int4.
    """
    weight = weights[0] if len(weights) == 1 else StackedMatrix(weights)
    bias = _stack_biases(weights, biases, precision)
    format = _format(precision, weight, least_bits)
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
        exact = weight.stored == "int4"  # as the kernels, but for their rounding of scales
        return DenseLinear(_all(weight) if exact else rounded_int4(_all(weight)), bias, fused_input)
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


def _format(precision: Precision, weight: Matrix, least_bits: int) -> compiled.Format:
    if precision.quantization == "auto":
        return _stored_format(precision, weight, least_bits)
    if precision.quantization == "none":
        return _FORMATS[precision.weights]
    return compiled.Format.INT4 if precision.quantization == "int4" and least_bits <= 4 else compiled.Format.INT8


def _stored_format(precision: Precision, weight: Matrix, least_bits: int) -> compiled.Format:
    """That of the file; what is stored in more than 8 bits becomes the configured type, where one is."""
    stored = weight.stored
    if stored in ("int4", "int8") and weight.shape[1] % GROUP == 0:
        return compiled.Format.INT4 if stored == "int4" and least_bits <= 4 else compiled.Format.INT8
    if stored in ("int4", "int8") or not precision.as_stored:
        return _FORMATS[precision.weights]
    return compiled.Format[stored.upper()]


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
    """16-bit weights with float32 activations, an FBGEMM build, and float16's range suffices."""
    engines = torch.backends.quantized.supported_engines
    return precision.weights != precision.activations and "fbgemm" in engines and float(weight.abs().max()) <= _HALF_MAX
