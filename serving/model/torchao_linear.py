"""Quantized linear layers on CUDA, by torchao."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal

import torch
import torch.nn.functional as F

from serving.core import ModelLoadError
from serving.model.fused_input import FusedInput

Bits = Literal[8, 4]

GROUP = 32  # weights of a row that share an int4 scale
_MIN_ROWS = 17  # the minimum number of rows of an int8 product on CUDA
_OUTPUT_MULTIPLE = 8  # the number of its outputs is a multiple of this


def require_torchao(quantization: str, weights: torch.dtype) -> None:
    """`ModelLoadError` when torchao is not installed, or does not support the combination."""
    if find_spec("torchao") is None:
        raise ModelLoadError(
            f"quantization {quantization!r} on device 'cuda' needs torchao; pip install torchao, or use 'none'."
        )
    if quantization == "int4" and weights != torch.bfloat16:
        raise ModelLoadError("quantization 'int4' on device 'cuda' needs dtype 'bfloat16'; use it or 'int8'.")


class TorchaoLinear:
    """A `serving.model.linear.Linear` with quantized weights on CUDA.

    int8: one scale per output; activations are rounded to 8 bits too, with one scale per row. int4: groups of 32
    weights with a scale and a zero point; activations are bfloat16.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        fused_input: FusedInput | None,
        *,
        bits: Bits,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """`weight` is float32 [out_features, in_features]. `ModelLoadError` for a shape that torchao can't quantize."""
        self._out_features = weight.shape[0]
        self._fused_input, self._bias = fused_input, bias
        quantized = _quantized(weight.to(device=device, dtype=dtype), bits)
        self._product: Callable[[torch.Tensor], torch.Tensor] = (
            _Int8Product(quantized.qdata, quantized.scale) if bits == 8 else partial(_linear, quantized)
        )
        self.num_parameters = weight.numel()
        self.nbytes = sum(getattr(quantized, name).nbytes for name in quantized.tensor_data_names)

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        x = x if self._fused_input is None else self._fused_input(x)
        y = self._product(x)[:, : self._out_features]
        if self._bias is not None:
            y = y + self._bias
        return y if out is None else out.add_(y)


class _Int8Product:
    """torchao's int8 product without its check of the input on the host, which a CUDA graph can't capture."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        self._weight = weight.t()  # [in, out] int8
        self._scale = scale.flatten().float()  # [out]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (0, 0, 0, max(0, _MIN_ROWS - x.shape[0]))).float()
        scale = padded.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12) / 127.5
        values = (padded / scale).round_().clamp_(-128, 127).to(torch.int8)
        y = torch._int_mm(values, self._weight).float() * scale * self._scale
        return y[: x.shape[0]].to(x.dtype)


def _linear(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x, weight)


def _quantized(weight: torch.Tensor, bits: Bits) -> Any:
    """The weight as torchao's tensor subclass: F.linear with it runs torchao's kernels."""
    from torchao.quantization import quantize_

    weight = F.pad(weight, (0, 0, 0, -weight.shape[0] % _OUTPUT_MULTIPLE))
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    model = torch.nn.Sequential(layer)
    quantize_(model, _config(bits))
    quantized = model[0].weight
    if not hasattr(quantized, "tensor_data_names"):  # torchao skips layers that it can't quantize
        raise ModelLoadError(f"torchao does not quantize a layer of {tuple(weight.shape)} to int{bits}; use 'none'.")
    return quantized


def _config(bits: Bits) -> Any:
    from torchao.quantization import Int4WeightOnlyConfig, Int8DynamicActivationInt8WeightConfig

    if bits == 8:
        return Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    # The format of PyTorch's own kernel; other formats need further packages.
    return Int4WeightOnlyConfig(
        group_size=GROUP, int4_packing_format="tile_packed_to_4d", set_inductor_config=False, version=2
    )
