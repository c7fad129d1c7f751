"""A decoder that runs all layers on the compiled kernels in one call: the Python side of source/decoder.cpp."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from serving.model.attention.base import Attention, AttentionSpec
from serving.model.attention.compiled import CompiledAttention
from serving.model.decoder import Decoder, DecoderLayer
from serving.model.kernels.attention import AttentionCall, PagedAttention, PagedRows
from serving.model.kernels.library import kernels
from serving.model.kernels.linear import LinearCall, PackedLinear
from serving.model.registry import Model


class _LayerCall(ctypes.Structure):
    """`LayerCall` of source/decoder.h."""

    _fields_ = (
        *((name, LinearCall) for name in ("qkv", "output", "gate_up", "down")),
        ("attention", AttentionCall),
        ("post_attention", ctypes.c_void_p),
        ("post_mlp", ctypes.c_void_p),
        ("eps", ctypes.c_float),
    )


class _DecoderCall(ctypes.Structure):
    """`DecoderCall` of source/decoder.h."""

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
    """x += output(attention(qkv(x))); x += down(gate_up(x)).

    The `post` norms, with weights [hidden], normalize each sum's second term before it is added.
    """

    qkv: PackedLinear
    attention: PagedAttention
    output: PackedLinear
    gate_up: PackedLinear
    down: PackedLinear
    post_attention: torch.Tensor | None = None
    post_mlp: torch.Tensor | None = None
    eps: float = 0.0


class PackedDecoder:
    """All layers and the head in one call, which releases Python's lock. float32 activations on the CPU."""

    def __init__(self, layers: Sequence[PackedLayer], head: PackedLinear) -> None:
        self._layers, self._head = tuple(layers), head  # keeps them alive: the calls have only addresses
        self._calls = (_LayerCall * len(layers))(*map(_call_of, layers))
        library = kernels()
        assert library is not None, "the kernels are not available"
        self._run = library.serving_decoder
        self._call = _DecoderCall(
            layers=ctypes.addressof(self._calls), head=ctypes.addressof(head.call), num_layers=len(layers)
        )
        self._pointer = ctypes.byref(self._call)

    def __call__(self, x: torch.Tensor, paged_rows: PagedRows, rows: torch.Tensor) -> torch.Tensor:
        """The logits [rows, vocab] of x [tokens, hidden] at `rows`, int64 [rows]. x is overwritten."""
        logits = torch.empty(len(rows), self._head.out_features)
        call = self._call
        call.x, call.rows, call.logits = x.data_ptr(), rows.data_ptr(), logits.data_ptr()
        call.positions, call.slots, call.starts, call.tables = paged_rows.addresses
        call.tokens, call.sequences, call.table_stride = paged_rows.sizes
        call.num_rows = len(rows)
        self._run(self._pointer)
        return logits


def _call_of(layer: PackedLayer) -> _LayerCall:
    linears = {name: getattr(layer, name).call for name in ("qkv", "output", "gate_up", "down")}
    norms = {
        name: norm.data_ptr() for name in ("post_attention", "post_mlp") if (norm := getattr(layer, name)) is not None
    }
    return _LayerCall(**linears, **norms, attention=layer.attention.call, eps=layer.eps)


class CompiledDecoder:
    """A `serving.model.registry.Model` on the compiled kernels. It works only with the attention of its layers."""

    def __init__(self, decoder: Decoder, layers: Sequence[PackedLayer], head: PackedLinear) -> None:
        self._decoder = decoder
        self._run = PackedDecoder(layers, head)
        self.num_parameters = decoder.num_parameters
        self.weight_bytes_per_step = decoder.weight_bytes_per_step

    @property
    def attention_specs(self) -> Sequence[AttentionSpec]:
        return self._decoder.attention_specs

    def logits(self, token_ids: torch.Tensor, attention: Attention, rows: torch.Tensor) -> torch.Tensor:
        assert isinstance(attention, CompiledAttention)
        assert attention.rows is not None, "no step has begun"
        return self._run(self._decoder.embedding(token_ids), attention.rows, rows)


def compiled_model(model: Model, attention: Attention) -> Model:
    """The model as a `CompiledDecoder` if the kernels support all its layers and its attention, else the model."""
    if not (isinstance(model, Decoder) and isinstance(attention, CompiledAttention)):
        return model
    layers = [_packed(layer, paged) for layer, paged in zip(model.layers, attention.layers, strict=True)]
    if not isinstance(model.head, PackedLinear) or None in layers:
        return model
    return CompiledDecoder(model, [layer for layer in layers if layer is not None], model.head)


def _packed(layer: DecoderLayer, attention: PagedAttention) -> PackedLayer | None:
    """None where a linear layer does not run on the kernels."""
    qkv, output, gate_up, down = layer.linears
    if not (
        isinstance(qkv, PackedLinear)
        and isinstance(output, PackedLinear)
        and isinstance(gate_up, PackedLinear)
        and isinstance(down, PackedLinear)
    ):
        return None
    norms = layer.post_attention, layer.post_mlp
    return PackedLayer(
        qkv=qkv,
        attention=attention,
        output=output,
        gate_up=gate_up,
        down=down,
        post_attention=None if norms[0] is None else norms[0].weight,
        post_mlp=None if norms[1] is None else norms[1].weight,
        eps=0.0 if norms[0] is None else norms[0].eps,
    )
