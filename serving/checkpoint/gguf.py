"""A GGUF file: the dimensions, tensors and tokenizer data of a model."""

import logging
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, dequantize
from numpy.typing import NDArray

from serving.checkpoint.gguf_matrix import GGUFMatrix
from serving.checkpoint.gguf_reader import GGUFContent, RawTensor, read_gguf
from serving.core import ModelLoadError
from serving.model.config import TRAITS, ModelConfig, all_but_every
from serving.model.registry import unsupported_architecture
from serving.model.rope_scaling import FrequencyFactors, LinearScaling, RopeScaling, YarnScaling, yarn_magnitude
from serving.model.weights import Matrix, require_matrix

_LOG = logging.getLogger(__name__)

_TOP_NAMES = MappingProxyType(
    {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
    }
)
_LAYER_NAMES = MappingProxyType(
    {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
)
# Gemma also has norms after attention and MLP. Hugging Face's `post_attention_layernorm` is then that norm, not the
# norm before the MLP.
_POST_NORM_NAMES = MappingProxyType(
    {
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    }
)
_FUSED_NAMES = MappingProxyType({"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"})
_ARCHITECTURES = TRAITS.keys() - {"mistral"}  # GGUF files of Mistral have the architecture "llama"
_GEMMA3_PERIOD = 6  # every sixth layer has full attention
_GEMMA3_27B_LAYERS = 62
_MOST_FREQUENCIES = 2**12  # of rotary positions
# Keys of the rotary scaling, and their supported values. The first value is the default.
_ROPE_KEYS = MappingProxyType(
    {
        "rope.scaling.type": ("none", "linear", "yarn", "longrope"),
        "rope.scaling.yarn_ext_factor": (1.0,),
        "rope.scaling.yarn_log_multiplier": (0.0,),
    }
)
# The exceptions of the reader when lengths, types or names in the file are invalid.
_CORRUPT = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
)


class GGUFFile:
    """An open GGUF file. It is a `Weights`: tensors have Hugging Face names. `metadata` has the file's own keys."""

    def __init__(self, path: Path) -> None:
        """`ModelLoadError` for a truncated or corrupt file, and for a model that is not supported."""
        self.path = path
        try:
            content = read_gguf(path)
            self.config = _config(path, content)
        except ModelLoadError:
            raise
        except _CORRUPT as error:
            detail = " ".join(f"{type(error).__name__}: {error}".split())
            message = f"{path}: the GGUF file is truncated or corrupt ({detail}); fetch it again."
            raise ModelLoadError(message) from error
        self.metadata: Mapping[str, Any] = content.metadata
        self._tensors = content.tensors

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._gguf_name(name) in self._tensors

    def get(self, name: str) -> torch.Tensor:
        tensor = self._tensors[self._gguf_name(name)]
        try:
            array = tensor.dequantized()
        except NotImplementedError as error:
            raise self._unknown_type(tensor) from error
        order = self._row_order(name, tensor.shape[0])
        return torch.from_numpy(array if order is None else array[order])

    def matrix(self, name: str) -> Matrix:
        tensor = self._tensors[self._gguf_name(name)]
        require_matrix(name, tensor.shape)
        self._check_type(tensor)
        return GGUFMatrix(tensor, self._row_order(name, tensor.shape[0]))

    def _check_type(self, tensor: RawTensor) -> None:
        """`ModelLoadError` for a type that `gguf` can't dequantize, before the tensor's data are read."""
        _, block_bytes = GGML_QUANT_SIZES[tensor.type]
        try:
            dequantize(np.zeros((1, block_bytes), np.uint8), tensor.type)
        except NotImplementedError as error:
            raise self._unknown_type(tensor) from error

    def _unknown_type(self, tensor: RawTensor) -> ModelLoadError:
        return ModelLoadError(
            f"{self.path}: tensor {tensor.name!r} has type {tensor.type.name}, which cannot be dequantized; "
            "use a file with F32, F16, BF16, Q8_0, Q4_* or K quantization."
        )

    def _gguf_name(self, name: str) -> str:
        """The tensor's name in the file: `blk.3.attn_q.weight` for `model.layers.3.self_attn.q_proj.weight`."""
        module, _, kind = name.rpartition(".")
        if not module.startswith("model.layers."):
            return f"{_TOP_NAMES.get(module, module)}.{kind}"
        index, _, part = module.removeprefix("model.layers.").partition(".")
        names = {**_LAYER_NAMES, **_POST_NORM_NAMES} if self.config.post_norms else _LAYER_NAMES
        names = {**names, **_FUSED_NAMES} if self.config.architecture == "phi3" else names
        return f"blk.{index}.{names.get(part, part)}.{kind}"

    def _row_order(self, name: str, rows: int) -> NDArray[np.int64] | None:
        """For each row, its index in the file; None if the order is the same. Llama files order the rows of a head of Q
        and K for rotary pairs (2i, 2i + 1), not (i, i + half)."""
        heads = {"q_proj": self.config.num_heads, "k_proj": self.config.num_kv_heads}.get(name.split(".")[-2])
        if heads is None or self.config.architecture != "llama" or rows % (2 * heads):
            return None
        return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)


def _config(path: Path, content: GGUFContent) -> ModelConfig:
    """The configuration from the keys `<architecture>.…`. In GGUF files, 1 is already added to Gemma's norm weights:
    `norm_offset` stays 0."""
    architecture = content.metadata["general.architecture"]
    if not isinstance(architecture, str) or architecture not in _ARCHITECTURES:
        raise unsupported_architecture(str(architecture)[:80])
    keys = _Keys(content.metadata, architecture)
    heads, hidden = keys["attention.head_count"], keys["embedding_length"]
    head_dim = keys.get("attention.key_length", hidden // heads)
    rotary_dim = keys.get("rope.dimension_count", head_dim)
    _refuse_unsupported(path, keys, architecture, head_dim)
    window = _window(keys, architecture)
    gemma = architecture == "gemma3"
    return ModelConfig(
        architecture=architecture,
        vocab_size=len(content.metadata["tokenizer.ggml.tokens"]),
        hidden_size=hidden,
        intermediate_size=keys["feed_forward_length"],
        num_layers=keys["block_count"],
        num_heads=heads,
        num_kv_heads=keys.get("attention.head_count_kv", heads),
        head_dim=head_dim,
        max_position=_max_position(path, keys, content),
        rope_theta=keys.get("rope.freq_base", 1e6 if gemma else 10000.0),
        rotary_dim=rotary_dim,
        rope_scaling=_rope_scaling(keys, content),
        local_rope_theta=keys.get("rope.freq_base_swa", 10000.0) if gemma else None,
        rms_norm_eps=keys["attention.layer_norm_rms_epsilon"],
        tie_embeddings="output.weight" not in content.tensors,
        window=window,
        local_layers=_local_layers(keys, architecture) if window else frozenset(),
        embedding_scale=hidden**0.5 if gemma else 1.0,
        # Only Gemma 3 27B has an attention scale other than head_dim**-0.5, and the format has no key for it.
        attention_scale=(hidden / heads) ** -0.5 if gemma and keys["block_count"] == _GEMMA3_27B_LAYERS else None,
        **TRAITS[architecture],
    )


class _Keys:
    """The metadata keys that have an architecture's prefix, without the prefix."""

    def __init__(self, metadata: Mapping[str, Any], architecture: str) -> None:
        self._metadata, self._prefix = metadata, f"{architecture}."

    def __getitem__(self, key: str) -> Any:
        return self._metadata[self._prefix + key]

    def get(self, key: str, default: Any = None) -> Any:
        return self._metadata.get(self._prefix + key, default)


def _window(keys: _Keys, architecture: str) -> int:
    """The sliding window in tokens, 0 for none. It is 0 for Qwen, whose files don't say which layers have a window."""
    window: int = keys.get("attention.sliding_window") or 0
    return window if architecture in ("gemma3", "llama", "phi3") else 0


def _local_layers(keys: _Keys, architecture: str) -> frozenset[int]:
    """The layers with a sliding window: all of them, except in Gemma. Gemma has a key with a period or one flag per
    layer; most files lack it."""
    if architecture != "gemma3":
        return frozenset(range(keys["block_count"]))
    pattern = keys.get("attention.sliding_window_pattern", _GEMMA3_PERIOD)
    if isinstance(pattern, list):
        return frozenset(layer for layer, is_local in enumerate(pattern) if is_local)
    return all_but_every(pattern, keys["block_count"])


def _rope_scaling(keys: _Keys, content: GGUFContent) -> RopeScaling | None:
    """The rotary scaling, by llama.cpp's rules (llama-context.cpp, ggml's rope). Files of Llama 3 have a tensor with a
    factor for each frequency."""
    kind, magnitude = keys.get("rope.scaling.type", "none"), keys.get("rope.scaling.attn_factor", 1.0)
    for name in ("rope_freqs.weight", "rope_factors_short.weight"):
        if name in content.tensors:
            if kind in ("linear", "yarn") or content.tensors[name].shape[-1] > _MOST_FREQUENCIES:
                raise ValueError(f"tensor {name!r} with rotary scaling {kind!r}")
            factors = content.tensors[name].dequantized().reshape(-1).tolist()
            return FrequencyFactors(factors=tuple(factors), magnitude=magnitude)
    if kind == "yarn":
        factor = keys["rope.scaling.factor"]
        return YarnScaling(
            factor=factor,
            original_max_position=keys.get("rope.scaling.original_context_length", keys["context_length"]),
            magnitude=magnitude * keys.get("rope.scaling.yarn_attn_factor", yarn_magnitude(factor)),
            beta_fast=keys.get("rope.scaling.yarn_beta_fast", 32.0),
            beta_slow=keys.get("rope.scaling.yarn_beta_slow", 1.0),
        )
    if kind == "longrope":
        raise ValueError("tensor 'rope_factors_short.weight' is missing")
    if kind == "none" and magnitude == 1.0:
        return None
    return LinearScaling(factor=keys["rope.scaling.factor"] if kind == "linear" else 1.0, magnitude=magnitude)


def _max_position(path: Path, keys: _Keys, content: GGUFContent) -> int:
    """The longest context in tokens; with LongRoPE the original context (see `rope_parameters.max_position`)."""
    full: int = keys["context_length"]
    original: int = keys.get("rope.scaling.original_context_length", full)
    if "rope_factors_short.weight" not in content.tensors or full <= original:
        return full
    _LOG.warning("%s: its LongRoPE is exact up to %d tokens; the context ends there, not at %d.", path, original, full)
    return original


def _refuse_unsupported(path: Path, keys: _Keys, architecture: str, head_dim: int) -> None:
    for key, supported in _ROPE_KEYS.items():
        if keys.get(key, supported[0]) not in supported:
            raise ModelLoadError(
                f"{path}: {key} {keys[key]!r:.60} is not supported, only {' or '.join(map(repr, supported))}; "
                "use another model."
            )
    rotated = keys.get("rope.dimension_count", head_dim)
    if rotated != head_dim and architecture != "phi3":
        raise ModelLoadError(
            f"{path}: rotary positions on {rotated} of {head_dim} dimensions are not supported, "
            "only on all dimensions; use another model."
        )
