"""GGUF files: a model's dimensions, tensors and tokenizer data in one file.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize

from serving.models.config import ModelConfig
from serving.models.registry import MODELS, unsupported_architecture
from serving.weights import ModelLoadError

_TOP_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# What a reader of untrusted bytes raises when lengths, types or names in them are nonsense.
_CORRUPT = (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, struct.error)


class GGUFFile:
    """An open GGUF file; `metadata` by key, and `Weights` under Hugging Face names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        reader = _open(path)
        try:
            self.metadata: Mapping[str, Any] = {
                key: field.contents() for key, field in reader.fields.items() if field.types
            }
            self._tensors = {tensor.name: tensor for tensor in reader.tensors}
            self.config = self._read_config()
        except ModelLoadError:
            raise
        except _CORRUPT as error:
            raise _corrupt(path, error) from error

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _gguf_name(name) in self._tensors

    def get(self, name: str) -> torch.Tensor:
        tensor = self._tensors[_gguf_name(name)]
        try:
            array = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        except NotImplementedError as error:
            kind = tensor.tensor_type.name
            raise ModelLoadError(
                f"{self.path}: tensor {tensor.name!r} has type {kind}, which cannot be dequantized; "
                "use a file with F32, F16, BF16, Q8_0, Q4_* or K quantization."
            ) from error
        return self._unpermute(name, torch.from_numpy(array))

    def _unpermute(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Llama files order a head's rows of Q and K for rotary pairs (2i, 2i + 1), not (i, i + half)."""
        heads = {"q_proj": self.config.num_heads, "k_proj": self.config.num_kv_heads}.get(name.split(".")[-2])
        if heads is None or self.config.architecture != "llama":
            return tensor
        pairs = tensor.view(heads, tensor.shape[0] // heads // 2, 2, *tensor.shape[1:])
        return pairs.swapaxes(1, 2).reshape(tensor.shape)

    def _read_config(self) -> ModelConfig:
        metadata = self.metadata
        architecture = metadata["general.architecture"]
        if architecture not in MODELS:
            raise unsupported_architecture(architecture)
        self._refuse_rope_scaling(architecture)
        key = f"{architecture}."
        heads, hidden = metadata[key + "attention.head_count"], metadata[key + "embedding_length"]
        return ModelConfig(
            architecture=architecture,
            vocab_size=len(metadata["tokenizer.ggml.tokens"]),
            hidden_size=hidden,
            intermediate_size=metadata[key + "feed_forward_length"],
            num_layers=metadata[key + "block_count"],
            num_heads=heads,
            num_kv_heads=metadata.get(key + "attention.head_count_kv", heads),
            head_dim=metadata.get(key + "attention.key_length", hidden // heads),
            max_position=metadata[key + "context_length"],
            rope_theta=metadata.get(key + "rope.freq_base", 10000.0),
            rms_norm_eps=metadata[key + "attention.layer_norm_rms_epsilon"],
            tie_embeddings="output.weight" not in self._tensors,
        )

    def _refuse_rope_scaling(self, architecture: str) -> None:
        kind = self.metadata.get(f"{architecture}.rope.scaling.type", "none")
        if kind != "none" or "rope_freqs.weight" in self._tensors:
            found = "rope_freqs" if kind == "none" else kind
            raise ModelLoadError(f"{self.path}: rotary scaling {found!r} is not supported; use a model without it.")


class _BoundedReader(GGUFReader):  # type: ignore[misc]
    """Refuses to read past the end, where the base class goes on with nothing, for hours on a wrong length.

    It also reads through a plain array: slicing a memory map costs ten times as much, and a vocabulary is
    hundreds of thousands of reads.
    """

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        start, kind = int(offset), np.dtype(dtype)
        end = start + kind.itemsize * int(count)
        if end > len(self.data):
            raise ValueError(f"{end} bytes are needed, the file has {len(self.data)}")
        order = override_order or self.byte_order
        return self.data.view(np.ndarray)[start:end].view(kind.newbyteorder(order))


def is_gguf(path: Path) -> bool:
    """Whether the file begins as a GGUF file does."""
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _open(path: Path) -> GGUFReader:
    try:
        return _BoundedReader(path)
    except _CORRUPT as error:
        raise _corrupt(path, error) from error


def _corrupt(path: Path, error: Exception) -> ModelLoadError:
    detail = " ".join(f"{type(error).__name__}: {error}".split())
    return ModelLoadError(f"{path}: the GGUF file is truncated or corrupt ({detail}); fetch it again.")


def _gguf_name(name: str) -> str:
    """`model.layers.3.self_attn.q_proj.weight` to `blk.3.attn_q.weight`."""
    module, _, kind = name.rpartition(".")
    if not module.startswith("model.layers."):
        return f"{_TOP_NAMES.get(module, module)}.{kind}"
    index, _, part = module.removeprefix("model.layers.").partition(".")
    return f"blk.{index}.{_LAYER_NAMES.get(part, part)}.{kind}"
