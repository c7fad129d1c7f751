"""A whole decoder: the Python side of source/decoder.cpp."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from serving.model.kernels.attention import AttentionCall, PagedAttention, PagedRows
from serving.model.kernels.library import kernels
from serving.model.kernels.linear import LinearCall, PackedLinear


class _LayerCall(ctypes.Structure):
    _fields_ = (
        *((name, LinearCall) for name in ("qkv", "output", "gate_up", "down")),
        ("attention", AttentionCall),
        ("post_attention", ctypes.c_void_p),
        ("post_mlp", ctypes.c_void_p),
        ("eps", ctypes.c_float),
    )


class _DecoderCall(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.c_void_p),
        ("head", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("num_layers", "tokens", "num_rows")),
        *((name, ctypes.c_void_p) for name in ("x", "rows", "logits", "positions", "slots", "starts", "tables")),
        ("sequences", ctypes.c_int64),
        ("table_stride", ctypes.c_int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLayer:
    """x += output(attention(qkv(x))); x += down(gate_up(x)). A `post` norm's weight [hidden] is for what is added."""

    qkv: PackedLinear
    attention: PagedAttention
    output: PackedLinear
    gate_up: PackedLinear
    down: PackedLinear
    post_attention: torch.Tensor | None = None
    post_mlp: torch.Tensor | None = None
    eps: float = 0.0


class PackedDecoder:
    """Layers and head in one call, that needs Python's lock for nothing. float32 activations on the CPU."""

    def __init__(self, layers: Sequence[PackedLayer], head: PackedLinear) -> None:
        self._layers, self._head = tuple(layers), head  # the calls have only their addresses
        self._calls = (_LayerCall * len(layers))(*map(_call_of, layers))
        library = kernels()
        assert library is not None, "there are no kernels"
        self._run = library.serving_decoder
        self._call = _DecoderCall(
            layers=ctypes.addressof(self._calls), head=ctypes.addressof(head.call), num_layers=len(layers)
        )
        self._pointer = ctypes.byref(self._call)

    def __call__(self, x: torch.Tensor, rows: PagedRows, wanted: torch.Tensor) -> torch.Tensor:
        """x [tokens, hidden] is changed; the result is [wanted, vocab], of the rows int64 [wanted] of x."""
        logits = torch.empty(len(wanted), self._head.out_features)
        call = self._call
        call.x, call.rows, call.logits = x.data_ptr(), wanted.data_ptr(), logits.data_ptr()
        call.positions, call.slots, call.starts, call.tables = rows.addresses
        call.tokens, call.sequences, call.table_stride = rows.sizes
        call.num_rows = len(wanted)
        self._run(self._pointer)
        return logits


def _call_of(layer: PackedLayer) -> _LayerCall:
    linears = {name: getattr(layer, name).call for name in ("qkv", "output", "gate_up", "down")}
    norms = {
        name: norm.data_ptr() for name in ("post_attention", "post_mlp") if (norm := getattr(layer, name)) is not None
    }
    return _LayerCall(**linears, **norms, attention=layer.attention.call, eps=layer.eps)
