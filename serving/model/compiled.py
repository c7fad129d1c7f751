"""A decoder whose layers all run on the compiled kernels, as one call."""

from collections.abc import Sequence

import torch

from serving.model.attention.base import Attention, AttentionSpec
from serving.model.attention.compiled import CompiledAttention
from serving.model.decoder import Decoder, DecoderLayer
from serving.model.kernels.attention import PagedAttention
from serving.model.kernels.decoder import PackedDecoder, PackedLayer
from serving.model.kernels.linear import PackedLinear
from serving.model.registry import Model


class CompiledDecoder:
    """See `serving.model.registry.Model`; to be used with the attention that it was made with."""

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


def compiled(model: Model, attention: Attention) -> Model:
    """The model as one call where that can be, else itself."""
    if not (isinstance(model, Decoder) and isinstance(attention, CompiledAttention)):
        return model
    layers = [_packed(layer, paged) for layer, paged in zip(model.layers, attention.layers, strict=True)]
    if not isinstance(model.head, PackedLinear) or None in layers:
        return model
    return CompiledDecoder(model, [layer for layer in layers if layer is not None], model.head)


def _packed(layer: DecoderLayer, attention: PagedAttention) -> PackedLayer | None:
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
