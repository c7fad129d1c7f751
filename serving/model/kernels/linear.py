"""Linear layers over packed weights: the Python side of source/linear.cpp."""

import ctypes
from collections.abc import Sequence
from enum import IntEnum
from math import prod

import torch

from serving.model.huge_pages import return_freed_memory, zeroed_bytes
from serving.model.kernels.library import kernels
from serving.model.weights import GROUP, INT4, Matrix, TensorMatrix

_LINE = 64  # bytes of a cache line
_DTYPES = {"FLOAT32": torch.float32, "BFLOAT16": torch.bfloat16, "FLOAT16": torch.float16}
_PANEL = 16  # outputs that a kernel computes together
_VALUES_AT_ONCE = 2**20  # values packed at once: temporary copies of them fit in the processor's cache


class Format(IntEnum):
    """The format of packed weights: `Format` of source/linear.h."""

    FLOAT32 = 0
    BFLOAT16 = 1
    FLOAT16 = 2
    INT8 = 3
    INT4 = 4


class FusedInput(IntEnum):
    """The operation on an input row before the product: `FusedInput` of source/linear.h."""

    NONE = 0
    RMS_NORM = 1
    SILU_GATE = 2
    GELU_GATE = 3


class LinearCall(ctypes.Structure):
    """`LinearCall` of source/linear.h."""

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
        ("fused_input", ctypes.c_int32),
        ("accumulate", ctypes.c_int32),
        ("zero_points", ctypes.c_int32),
        ("eps", ctypes.c_float),
    )


class PackedLinear:
    """out = fused_input(x) Wᵀ + b in one call, or out += fused_input(x) Wᵀ + b. float32 activations on the CPU.

    INT8 and INT4 weights have a scale for each group of 32 weights of a row. Activations are then rounded in groups of
    32 too: to 15 bits for INT8, to 8 bits for INT4.
    """

    def __init__(
        self,
        weight: torch.Tensor | Matrix,
        bias: torch.Tensor | None,
        format: Format,
        fused_input: FusedInput = FusedInput.NONE,
        norm: torch.Tensor | None = None,
        eps: float = 0.0,
    ) -> None:
        self.out_features, in_features = weight.shape
        self._weights = pack(weight, format)
        self._bias, self._norm = bias, norm
        library = kernels()
        assert library is not None, "the kernels are not available"
        self._run = library.serving_linear
        self.call = LinearCall(
            weights=self._weights.data_ptr(),
            bias=None if bias is None else bias.data_ptr(),
            norm=None if norm is None else norm.data_ptr(),
            n=self.out_features,
            k=in_features,
            format=format,
            fused_input=fused_input,
            zero_points=not isinstance(weight, torch.Tensor) and weight.storage_format == "int4_zero_point",
            eps=eps,
        )
        self._pointer = ctypes.byref(self.call)

    @property
    def nbytes(self) -> int:
        """Bytes of weights that a call reads, scales included."""
        return self._weights.nbytes

    @property
    def num_parameters(self) -> int:
        return self.out_features * int(self.call.k)

    def move_to(self, memory: torch.Tensor) -> None:
        """Moves the weights into `memory`, uint8 [nbytes]."""
        self._weights = memory.view(self._weights.dtype).view(self._weights.shape).copy_(self._weights)
        self.call.weights = self._weights.data_ptr()

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """x is [rows, in_features], or [rows, 2 * in_features] for a gate. The result is [rows, out_features]. With
        `out`, it is added to `out`, which is returned."""
        call = self.call
        call.accumulate = out is not None
        if out is None:
            out = torch.empty(x.shape[0], self.out_features)
        call.x, call.m, call.x_stride, call.out = x.data_ptr(), x.shape[0], x.stride(0), out.data_ptr()
        self._run(self._pointer)
        return out


def place_contiguously(layers: Sequence[PackedLinear]) -> None:
    """Moves the layers' weights into contiguous memory in the order of use: long sequential reads are fastest.

    A layer that is long by itself, such as the head, should stay where it is: while it is moved, it is in memory twice.
    """
    sizes = [-layer.nbytes // _LINE * -_LINE for layer in layers]
    memory = zeroed_bytes(sum(sizes))
    for layer, piece in zip(layers, torch.split(memory, sizes), strict=True):
        layer.move_to(piece[: layer.nbytes])
        return_freed_memory()


def pack(weight: torch.Tensor | Matrix, format: Format) -> torch.Tensor:
    """Packs a matrix [out_features, in_features]. For INT8 and INT4, in_features must be a multiple of 32.

    Groups that a checkpoint stores as int4 are packed to INT4 without being quantized again. The matrix is read a few
    rows at a time. The result is [panels, ...], where a panel has 16 outputs.
    """
    matrix = TensorMatrix(tensor=weight) if isinstance(weight, torch.Tensor) else weight
    rows, columns = matrix.shape
    step = max(1, _VALUES_AT_ONCE // (_PANEL * columns)) * _PANEL
    packed = torch.empty(0)
    for begin in range(0, rows, step):
        piece = _packed_rows(matrix, begin, min(begin + step, rows), format)
        if not begin:
            shape = -(-rows // _PANEL), *piece.shape[1:]
            packed = zeroed_bytes(prod(shape) * piece.itemsize).view(piece.dtype).view(shape)
        packed[begin // _PANEL : begin // _PANEL + len(piece)] = piece
    return packed


def _packed_rows(matrix: Matrix, begin: int, end: int, format: Format) -> torch.Tensor:
    if format is Format.INT4 and matrix.storage_format in INT4:
        groups = matrix.int4_rows(begin, end)
        return _pack_int4(_padded(groups.values), _padded(groups.scale), _padded(groups.minimum))
    weight = _padded(matrix.rows(begin, end))
    if format is Format.INT4:
        return _pack_int4(*quantize_int4(_groups(weight)))
    if format is Format.INT8:
        return _pack_int8(*quantize_int8(_groups(weight)))
    return weight.to(_DTYPES[format.name]).reshape(-1, _PANEL, weight.shape[1]).transpose(1, 2).contiguous()


def _padded(rows: torch.Tensor) -> torch.Tensor:
    """The rows, with rows of zeros added up to a multiple of a panel."""
    missing = -rows.shape[0] % _PANEL
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


def _groups(weight: torch.Tensor) -> torch.Tensor:
    """[out_features, in_features] to [out_features, groups, GROUP]."""
    return weight.reshape(weight.shape[0], -1, GROUP)


def quantize_int8(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric: values from -127 to 127, and the float16 scale of each group [..., GROUP]."""
    minimum, maximum = groups.aminmax(dim=-1)
    scale = (torch.maximum(-minimum, maximum) / 127).half()
    inverse = torch.where(scale > 0, 1 / scale.float(), 0)
    return (groups * inverse.unsqueeze(-1)).round_().clamp_(-127, 127).to(torch.int8), scale


def quantize_int4(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Asymmetric: values from 0 to 15, and the float16 scale and float16 minimum of each group [..., GROUP].

    Weights that were quantized in this way before (GGUF's Q4_1) are reproduced exactly.
    """
    minimum, maximum = groups.aminmax(dim=-1)
    minimum = minimum.half()
    scale = ((maximum - minimum.float()) / 15).half()
    inverse = torch.where(scale > 0, 1 / scale.float(), 0)
    shifted = (groups - minimum.float().unsqueeze(-1)).mul_(inverse.unsqueeze(-1))
    return shifted.round_().clamp_(0, 15).to(torch.uint8), scale, minimum


def rounded_int8(weight: torch.Tensor) -> torch.Tensor:
    """The float32 weights after rounding to INT8."""
    values, scale = quantize_int8(weight.view(weight.shape[0], -1, GROUP))
    return (values * scale.float().unsqueeze(-1)).flatten(-2)


def rounded_int4(weight: torch.Tensor) -> torch.Tensor:
    """The float32 weights after rounding to INT4."""
    values, scale, minimum = quantize_int4(weight.view(weight.shape[0], -1, GROUP))
    return (values * scale.float().unsqueeze(-1) + minimum.float().unsqueeze(-1)).flatten(-2)


def _pack_int8(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """To blocks (`Int8Block` of source/linear.cpp): [panels, groups, 512 + 32] bytes."""
    pairs = values.view(-1, _PANEL, values.shape[1], 16, 2)  # [panels, 16 outputs, groups, 16, 2]
    return torch.cat([pairs.permute(0, 2, 3, 1, 4).flatten(2).view(torch.uint8), _by_panel(scale)], dim=-1)


def _pack_int4(values: torch.Tensor, scale: torch.Tensor, minimum: torch.Tensor) -> torch.Tensor:
    """To blocks (`Int4Block` of source/linear.cpp): [panels, groups, 256 + 32 + 32] bytes."""
    quads = values.view(-1, _PANEL, values.shape[1], 2, 4, 4)  # [panels, 16 outputs, groups, 2, 4, 4]
    nibbles = quads[:, :, :, 0] | (quads[:, :, :, 1] << 4)
    return torch.cat([nibbles.permute(0, 2, 3, 1, 4).flatten(2), _by_panel(scale), _by_panel(minimum)], dim=-1)


def _by_panel(scale: torch.Tensor) -> torch.Tensor:
    """[out_features, groups] float16 to [panels, groups, 32] bytes."""
    return scale.view(-1, _PANEL, scale.shape[1]).transpose(1, 2).contiguous().view(torch.uint8)
