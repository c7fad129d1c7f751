"""Compares config.json's keys about the head and the biases with the tensors of the directory.

Where config.json leaves a key out, the tensors decide. `ModelLoadError` where a key and the tensors contradict each
other: either of them may be wrong.
"""

from collections.abc import Callable, Container, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from serving.core import ModelLoadError

_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
# The keys that `transformers` reads for an architecture, and the projections that have a bias if a key is true.
_BIAS_KEYS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "llama": {"attention_bias": _ATTENTION, "mlp_bias": _MLP},
        "qwen3": {"attention_bias": _ATTENTION},
        "gemma3": {"attention_bias": _ATTENTION},
    }
)
_ALWAYS_BIASED = MappingProxyType({"qwen2": _ATTENTION[:3]})

Read = Callable[[str], torch.Tensor]


def head_is_tied(file: Path, declared: bool | None, names: Container[str], read: Read) -> bool:
    """Whether the embedding is also the head. `declared` is config.json's `tie_word_embeddings`, None if it is left
    out."""
    if _HEAD not in names:
        if declared is False:
            raise ModelLoadError(
                f"{file}: tie_word_embeddings is false, but there is no tensor {_HEAD!r}; "
                "fetch the model again, or set it to true if the embedding is the head."
            )
        return True
    if declared is False or _EMBEDDING not in names:
        return False
    head, embedding = read(_HEAD), read(_EMBEDDING)
    same = head.shape == embedding.shape and head.dtype == embedding.dtype and torch.equal(head, embedding)
    if declared and not same:
        raise ModelLoadError(
            f"{file}: tie_word_embeddings is true, but tensor {_HEAD!r} is not the embedding; "
            "set it to false to use that tensor."
        )
    return same


def check_biases(file: Path, architecture: str, raw: dict[str, Any], names: Container[str], read: Read) -> None:
    """`ModelLoadError` for a missing bias, and for a bias that config.json excludes. Biases of zeros are always
    allowed: quantized files have them for layers without a bias."""
    layers = range(raw["num_hidden_layers"])
    for part in _ALWAYS_BIASED.get(architecture, ()):
        _require(file, f"architecture {architecture!r} has this bias", part, layers, names)
    for key, parts in _BIAS_KEYS.get(architecture, {}).items():
        for part in parts if raw.get(key) else ():
            _require(file, f"{key} is true", part, layers, names)
        for part in parts if raw.get(key) is False else ():
            _refuse(file, key, part, layers, names, read)


def _require(file: Path, why: str, part: str, layers: range, names: Container[str]) -> None:
    for layer in layers:
        name = f"model.layers.{layer}.{part}.bias"
        if name not in names:
            raise ModelLoadError(f"{file}: {why}, but tensor {name!r} is missing; fetch the model again.")


def _refuse(file: Path, key: str, part: str, layers: range, names: Container[str], read: Read) -> None:
    for layer in layers:
        name = f"model.layers.{layer}.{part}.bias"
        if name in names and read(name).any():
            raise ModelLoadError(
                f"{file}: {key} is false, but there is a tensor {name!r}; set it to true to use that tensor."
            )
