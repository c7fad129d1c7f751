"""Linear layers over packed weights: the Python side of source/linear.cpp."""

import ctypes
from collections.abc import Sequence
from enum import IntEnum

import torch

from serving.model.huge_pages import return_freed_memory, zeroed_bytes
from serving.model.kernels.library import kernels
from serving.model.weights import GROUP, Matrix, TensorMatrix

_LINE = 64  # bytes of a cache line
_DTYPES = {"FLOAT32": torch.float32, "BFLOAT16": torch.bfloat16, "FLOAT16": torch.float16}
_PANEL = 16  # outputs that a kernel computes at once
_VALUES_AT_ONCE = 2**20  # temporary copies of so many stay in the processor's cache


class Format(IntEnum):
    """How weights are stored, as in source/linear.h."""

    FLOAT32 = 0
    BFLOAT16 = 1
    FLOAT16 = 2
    INT8 = 3
    INT4 = 4


class FusedInput(IntEnum):
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
        ("fused_input", ctypes.c_int32),
        ("accumulate", ctypes.c_int32),
        ("eps", ctypes.c_float),
    )


class PackedLinear:
    """out = fused_input(x) Wᵀ + b in one call, or out += that. float32 activations on the CPU.

    INT8 and INT4 weights have a scale for each 32 of a row; activations are then rounded, by as many, to 15 and
    to 8 bits.
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
        assert library is not None, "there are no kernels"
        self._run = library.serving_linear
        self.call = LinearCall(
            weights=self._weights.data_ptr(),
            bias=None if bias is None else bias.data_ptr(),
            norm=None if norm is None else norm.data_ptr(),
            n=self.out_features,
            k=in_features,
            format=format,
            fused_input=fused_input,
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
        return_freed_memory()


def pack(weight: torch.Tensor | Matrix, format: Format) -> torch.Tensor:
    """An [out_features, in_features] matrix, packed; for INT8 and INT4 in_features is a multiple of 32.

    What a checkpoint stores as int4 becomes INT4 as it is. The matrix is read a few rows at a time.
    """
    matrix = TensorMatrix(tensor=weight) if isinstance(weight, torch.Tensor) else weight
    rows, columns = matrix.shape
    step = max(1, _VALUES_AT_ONCE // (_PANEL * columns)) * _PANEL
    packed = torch.empty(0)
    for begin in range(0, rows, step):
        piece = _packed_rows(matrix, begin, min(begin + step, rows), format)
        if not begin:
            packed = piece.new_empty(-(-rows // _PANEL), *piece.shape[1:])
        packed[begin // _PANEL : begin // _PANEL + len(piece)] = piece
    return packed


def _packed_rows(matrix: Matrix, begin: int, end: int, format: Format) -> torch.Tensor:
    if format is Format.INT4 and matrix.stored == "int4":
        found = matrix.int4_rows(begin, end)
        return _pack_int4(_padded(found.values), _padded(found.step), _padded(found.least))
    weight = _padded(matrix.rows(begin, end))
    if format is Format.INT4:
        return _pack_int4(*quantize_int4(_groups(weight)))
    if format is Format.INT8:
        return _pack_int8(*quantize_int8(_groups(weight)))
    return weight.to(_DTYPES[format.name]).reshape(-1, _PANEL, weight.shape[1]).transpose(1, 2).contiguous()


def _padded(rows: torch.Tensor) -> torch.Tensor:
    """With rows of zeros up to a whole panel."""
    missing = -rows.shape[0] % _PANEL
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


def _groups(weight: torch.Tensor) -> torch.Tensor:
    """[out_features, groups, GROUP]"""
    return weight.reshape(weight.shape[0], -1, GROUP)


def quantize_int8(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric: values -127 to 127 and the float16 scale of each group [..., GROUP]."""
    least, most = groups.aminmax(dim=-1)
    scale = (torch.maximum(-least, most) / 127).half()
    inverse = torch.where(scale > 0, 1 / scale.float(), 0)
    return (groups * inverse.unsqueeze(-1)).round_().clamp_(-127, 127).to(torch.int8), scale


def quantize_int4(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Asymmetric: values 0 to 15, the float16 step and the float16 least value of each group [..., GROUP].

    Weights that were quantized so before (GGUF's Q4_1) are found again exactly.
    """
    least, most = groups.aminmax(dim=-1)
    least = least.half()
    scale = ((most - least.float()) / 15).half()
    inverse = torch.where(scale > 0, 1 / scale.float(), 0)
    shifted = (groups - least.float().unsqueeze(-1)).mul_(inverse.unsqueeze(-1))
    return shifted.round_().clamp_(0, 15).to(torch.uint8), scale, least


def rounded_int8(weight: torch.Tensor) -> torch.Tensor:
    """The float32 values that INT8 weights stand for."""
    values, scale = quantize_int8(weight.view(weight.shape[0], -1, GROUP))
    return (values * scale.float().unsqueeze(-1)).flatten(-2)


def rounded_int4(weight: torch.Tensor) -> torch.Tensor:
    """The float32 values that INT4 weights stand for."""
    values, scale, least = quantize_int4(weight.view(weight.shape[0], -1, GROUP))
    return (values * scale.float().unsqueeze(-1) + least.float().unsqueeze(-1)).flatten(-2)


def _pack_int8(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Int8Block: [panels, groups, 512 + 32] bytes."""
    pairs = values.view(-1, _PANEL, values.shape[1], 16, 2)  # [panels, 16 outputs, groups, 16, 2]
    return torch.cat([pairs.permute(0, 2, 3, 1, 4).flatten(2).view(torch.uint8), _by_panel(scale)], dim=-1)


def _pack_int4(values: torch.Tensor, scale: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
    """Int4Block: [panels, groups, 256 + 32 + 32] bytes."""
    quads = values.view(-1, _PANEL, values.shape[1], 2, 4, 4)  # [panels, 16 outputs, groups, 2, 4, 4]
    nibbles = quads[:, :, :, 0] | (quads[:, :, :, 1] << 4)
    return torch.cat([nibbles.permute(0, 2, 3, 1, 4).flatten(2), _by_panel(scale), _by_panel(least)], dim=-1)


def _by_panel(scale: torch.Tensor) -> torch.Tensor:
    """[out_features, groups] float16 to [panels, groups, 32] bytes."""
    return scale.view(-1, _PANEL, scale.shape[1]).transpose(1, 2).contiguous().view(torch.uint8)
