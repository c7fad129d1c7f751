"""The decoder. `ModelConfig` has the fields in which the supported architectures differ."""

import torch

from serving.model.attention.base import Attention, AttentionSpec
from serving.model.config import ModelConfig
from serving.model.fused_input import FusedInput, Gate, RMSNorm
from serving.model.kernels.linear import PackedLinear, place_contiguously
from serving.model.layers import Rotary, make_embedding
from serving.model.linear import Linear, make_linear
from serving.model.parallel.split import Split
from serving.model.precision import Precision
from serving.model.weights import Weights, take, take_matrix, take_optional


class DecoderLayer:
    """x += attention(norm(x)); x += down(gate(norm(x))). With `post_norms` a norm is applied to each added term."""

    def __init__(self, index: int, config: ModelConfig, weights: Weights, precision: Precision) -> None:
        self._index = index
        factory = _LayerFactory(config, weights, f"model.layers.{index}.", precision)
        hidden, heads, kv_heads = config.hidden_size, config.num_heads, config.num_kv_heads
        attention = {"q_proj": heads, "k_proj": kv_heads, "v_proj": kv_heads}
        sizes = {f"self_attn.{name}": count * config.head_dim for name, count in attention.items()}
        self.qkv = factory.linear(sizes, hidden, factory.norm("input_layernorm"))
        self.output = factory.linear({"self_attn.o_proj": hidden}, heads * config.head_dim)
        before = "pre_feedforward_layernorm" if config.post_norms else "post_attention_layernorm"
        sizes = {"mlp.gate_proj": config.intermediate_size, "mlp.up_proj": config.intermediate_size}
        self.gate_up = factory.linear(sizes, hidden, factory.norm(before))
        gate = Gate(activation=config.activation)
        self.down = factory.linear({"mlp.down_proj": hidden}, config.intermediate_size, gate)
        self.post_attention = factory.norm("post_attention_layernorm") if config.post_norms else None
        self.post_mlp = factory.norm("post_feedforward_layernorm") if config.post_norms else None

    @property
    def linears(self) -> list[Linear]:
        return [self.qkv, self.output, self.gate_up, self.down]

    def __call__(self, x: torch.Tensor, attention: Attention, rows: torch.Tensor | None = None) -> torch.Tensor:
        """With `rows`, everything after the attention is computed for these rows only."""
        attended = attention(self._index, self.qkv(x))
        if rows is not None:
            x, attended = x.index_select(0, rows), attended.index_select(0, rows)
        x = _add(x, self.output, attended, self.post_attention)
        return _add(x, self.down, self.gate_up(x), self.post_mlp)


def _add(x: torch.Tensor, linear: Linear, y: torch.Tensor, norm: RMSNorm | None) -> torch.Tensor:
    return linear(y, out=x) if norm is None else x.add_(norm(linear(y)))


class Decoder:
    """A `serving.model.registry.Model`. With `split`, the configuration and the weights are those of one rank."""

    def __init__(
        self, config: ModelConfig, weights: Weights, precision: Precision, max_len: int, split: Split | None = None
    ) -> None:
        table = take_matrix(weights, "model.embed_tokens.weight", config.vocab_size, config.hidden_size)
        self.embedding = make_embedding(table, precision, config.embedding_scale)
        if not config.tie_embeddings:
            table = take_matrix(weights, "lm_head.weight", config.vocab_size, config.hidden_size)
        norm = _LayerFactory(config, weights, "model.", precision).norm("norm")
        # The head has at least 8 bits: its rounding errors directly affect which token is sampled.
        self.head = make_linear([table], [None], precision, norm, min_bits=8)
        self.layers = [DecoderLayer(index, config, weights, precision) for index in range(config.num_layers)]
        self.attention_specs = _attention_specs(config, weights, precision, max_len)
        linears = [linear for layer in self.layers for linear in layer.linears]
        place_contiguously([linear for linear in linears if isinstance(linear, PackedLinear)])
        linears.append(self.head)
        if split is not None:
            self._parallelize(split)
        self.weight_bytes_per_step = sum(linear.nbytes for linear in linears)
        untied = 0 if config.tie_embeddings else config.vocab_size * config.hidden_size
        self.num_parameters = sum(linear.num_parameters for linear in linears) + untied

    def _parallelize(self, split: Split) -> None:
        """Wraps layers, so that they combine their results with those of the other ranks."""
        self.embedding, self.head = split.embedding(self.embedding), split.head(self.head)
        for layer in self.layers:
            layer.output, layer.down = split.row_parallel(layer.output), split.row_parallel(layer.down)

    def logits(self, token_ids: torch.Tensor, attention: Attention, rows: torch.Tensor) -> torch.Tensor:
        x = self.embedding(token_ids)
        for layer in self.layers[:-1]:
            x = layer(x, attention)
        return self.head(self.layers[-1](x, attention, rows)).float()


class _LayerFactory:
    """Makes layers from the tensors under one prefix."""

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str, precision: Precision) -> None:
        self._config, self._weights, self._prefix, self._precision = config, weights, prefix, precision

    def norm(self, name: str, size: int | None = None) -> RMSNorm:
        config = self._config
        weight = take(self._weights, f"{self._prefix}{name}.weight", size or config.hidden_size) + config.norm_offset
        return RMSNorm(weight=self._precision.round(weight), eps=config.rms_norm_eps)

    def linear(self, sizes: dict[str, int], in_size: int, fused_input: FusedInput | None = None) -> Linear:
        """One layer for several projections that share their input. `sizes` has their output sizes by name. A
        projection has a bias if the checkpoint has one."""
        names = [f"{self._prefix}{name}" for name in sizes]
        outs = list(sizes.values())
        matrices = [
            take_matrix(self._weights, f"{name}.weight", out, in_size) for name, out in zip(names, outs, strict=True)
        ]
        biases = [take_optional(self._weights, f"{name}.bias", out) for name, out in zip(names, outs, strict=True)]
        return make_linear(matrices, biases, self._precision, fused_input)


def _attention_specs(config: ModelConfig, weights: Weights, precision: Precision, max_len: int) -> list[AttentionSpec]:
    scale = config.head_dim**-0.5 if config.attention_scale is None else config.attention_scale
    full = Rotary(config.rotated, max_len, config.rope_theta, precision, config.rope_scaling)
    local = full
    if config.local_rope_theta is not None:
        local = Rotary(config.rotated, max_len, config.local_rope_theta, precision)
    specs = []
    for layer in range(config.num_layers):
        factory = _LayerFactory(config, weights, f"model.layers.{layer}.self_attn.", precision)
        norms = {n: factory.norm(n, config.head_dim).weight for n in ("q_norm", "k_norm")} if config.qk_norm else {}
        specs.append(
            AttentionSpec(
                heads=config.num_heads,
                kv_heads=config.num_kv_heads,
                head_dim=config.head_dim,
                scale=scale,
                rotary=local if config.is_local(layer) else full,
                window=config.window if config.is_local(layer) else 0,
                eps=config.rms_norm_eps,
                **norms,
            )
        )
    return specs
