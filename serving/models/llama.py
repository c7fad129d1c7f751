"""The llama architecture: pre-norm blocks of grouped-query attention and a gated MLP."""

import torch

from serving.attention import KVCache, LayerCache, attend
from serving.batch import Batch
from serving.layers import Embedding, RMSNorm, Rotary, rotate, silu_gate
from serving.linear import Linear, Precision, make_linear
from serving.models.config import ModelConfig
from serving.weights import Weights, take, take_optional


class LlamaAttention:
    """Q, K and V in one product; a bias on any projection if the checkpoint has one."""

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str, precision: Precision) -> None:
        self._heads, self._kv_heads, self._dim = config.num_heads, config.num_kv_heads, config.head_dim
        q_size, kv_size = self._heads * self._dim, self._kv_heads * self._dim
        sizes = {"q_proj": q_size, "k_proj": kv_size, "v_proj": kv_size}
        self._qkv = _fused(weights, prefix, sizes, config.hidden_size, precision)
        self._output = _fused(weights, prefix, {"o_proj": config.hidden_size}, q_size, precision)

    def __call__(
        self, x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor], batch: Batch, cache: LayerCache
    ) -> torch.Tensor:
        qkv = self._qkv(x).view(x.shape[0], -1, self._dim)  # [tokens, heads + 2 * kv_heads, head_dim]
        qk = rotate(qkv[:, : self._heads + self._kv_heads], *angles)
        q, k = qk[:, : self._heads], qk[:, self._heads :]
        v = qkv[:, self._heads + self._kv_heads :]
        return self._output(attend(q, k, v, batch, cache))


class LlamaMLP:
    """down(silu(gate(x)) * up(x)), gate and up in one product."""

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str, precision: Precision) -> None:
        sizes = {"gate_proj": config.intermediate_size, "up_proj": config.intermediate_size}
        self._gate_up = _fused(weights, prefix, sizes, config.hidden_size, precision)
        down = {"down_proj": config.hidden_size}
        self._down = _fused(weights, prefix, down, config.intermediate_size, precision)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self._down(silu_gate(self._gate_up(x)))


class LlamaLayer:
    def __init__(self, config: ModelConfig, weights: Weights, prefix: str, precision: Precision) -> None:
        self._input_norm = _norm(config, weights, f"{prefix}input_layernorm", precision)
        self._attention = LlamaAttention(config, weights, f"{prefix}self_attn.", precision)
        self._mlp_norm = _norm(config, weights, f"{prefix}post_attention_layernorm", precision)
        self._mlp = LlamaMLP(config, weights, f"{prefix}mlp.", precision)

    def __call__(
        self, x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor], batch: Batch, cache: LayerCache
    ) -> torch.Tensor:
        x = x.add_(self._attention(self._input_norm(x), angles, batch, cache))
        return x.add_(self._mlp(self._mlp_norm(x)))


class LlamaModel:
    """See `serving.models.registry.Model`."""

    def __init__(self, config: ModelConfig, weights: Weights, precision: Precision) -> None:
        table = take(weights, "model.embed_tokens.weight", config.vocab_size, config.hidden_size)
        self._embedding = Embedding(table, precision)
        self._rotary = Rotary(config.head_dim, config.max_position, config.rope_theta, precision)
        self._layers = [LlamaLayer(config, weights, f"model.layers.{i}.", precision) for i in range(config.num_layers)]
        self._norm = _norm(config, weights, "model.norm", precision)
        if not config.tie_embeddings:
            table = take(weights, "lm_head.weight", config.vocab_size, config.hidden_size)
        self._head = make_linear([table], [None], precision)

    def hidden(self, batch: Batch, cache: KVCache) -> torch.Tensor:
        x = self._embedding(batch.token_ids)
        angles = self._rotary.at(batch.positions)
        for layer, layer_cache in zip(self._layers, cache.layers, strict=True):
            x = layer(x, angles, batch, layer_cache)
        return x

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._head(self._norm(hidden)).float()


def _fused(weights: Weights, prefix: str, sizes: dict[str, int], in_size: int, precision: Precision) -> Linear:
    matrices = [take(weights, f"{prefix}{name}.weight", size, in_size) for name, size in sizes.items()]
    biases = [take_optional(weights, f"{prefix}{name}.bias", size) for name, size in sizes.items()]
    return make_linear(matrices, biases, precision)


def _norm(config: ModelConfig, weights: Weights, name: str, precision: Precision) -> RMSNorm:
    weight = take(weights, f"{name}.weight", config.hidden_size)
    return RMSNorm(weight, config.rms_norm_eps, precision)
