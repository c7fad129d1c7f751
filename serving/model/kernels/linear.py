"""Linear layers over packed weights: the Python side of source/linear.cpp."""

import ctypes
from collections.abc import Sequence
from enum import IntEnum

import torch

from serving.model.huge_pages import zeroed_bytes
from serving.model.kernels.library import kernels
from serving.model.kernels.pack import pack

_LINE = 64  # bytes of a cache line


class Format(IntEnum):
    """How weights are stored, as in source/linear.h."""

    FLOAT32 = 0
    BFLOAT16 = 1
    FLOAT16 = 2
    INT8 = 3
    INT4 = 4


class Prologue(IntEnum):
    """What is done to a row before it is multiplied, as in source/linear.h."""

    NONE = 0
    RMS_NORM = 1
    SILU_GATE = 2
    GELU_GATE = 3


class LinearCall(ctypes.Structure):
    """As in source/linear.h."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("m", ctypes.c_int64),
        ("n", ctypes.c_int64),
        ("k", ctypes.c_int64),
        ("x_stride", ctypes.c_int64),
        ("format", ctypes.c_int32),
        ("prologue", ctypes.c_int32),
        ("accumulate", ctypes.c_int32),
        ("eps", ctypes.c_float),
    )


class PackedLinear:
    """out = prologue(x) Wᵀ + b in one call, or out += that. float32 activations on the CPU.

    INT8 and INT4 weights have a scale for each 32 of a row; activations are then rounded, by as many, to 15 and
    to 8 bits.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        format: Format,
        prologue: Prologue = Prologue.NONE,
        norm: torch.Tensor | None = None,
        eps: float = 0.0,
    ) -> None:
        self.out_features, in_features = weight.shape
        self._weights = pack(weight, format)
        self._bias, self._norm = bias, norm
        library = kernels()
        assert library is not None, "there are no kernels"
        self._run = library.serving_linear
        self.call = LinearCall(
            weights=self._weights.data_ptr(),
            bias=None if bias is None else bias.data_ptr(),
            norm=None if norm is None else norm.data_ptr(),
            n=self.out_features,
            k=in_features,
            format=format,
            prologue=prologue,
            eps=eps,
        )
        self._pointer = ctypes.byref(self.call)

    @property
    def nbytes(self) -> int:
        """Of the weights as they are read, scales included."""
        return self._weights.nbytes

    @property
    def num_parameters(self) -> int:
        return self.out_features * int(self.call.k)

    def move_to(self, memory: torch.Tensor) -> None:
        """Keep the weights in these bytes, as many as `nbytes`."""
        self._weights = memory.view(self._weights.dtype).view(self._weights.shape).copy_(self._weights)
        self.call.weights = self._weights.data_ptr()

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """x is [rows, in_features], or [rows, 2 * in_features] for a gate. With `out` it is added to that."""
        call = self.call
        call.accumulate = out is not None
        if out is None:
            out = torch.empty(x.shape[0], self.out_features)
        call.x, call.m, call.x_stride, call.out = x.data_ptr(), x.shape[0], x.stride(0), out.data_ptr()
        self._run(self._pointer)
        return out


def lay_out(layers: Sequence[PackedLinear]) -> None:
    """Move the weights together, in the order in which they are used: memory is read fastest in long runs."""
    sizes = [-layer.nbytes // _LINE * -_LINE for layer in layers]
    memory = zeroed_bytes(sum(sizes))
    for layer, piece in zip(layers, torch.split(memory, sizes), strict=True):
        layer.move_to(piece[: layer.nbytes])
