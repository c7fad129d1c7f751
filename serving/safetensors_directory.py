"""Hugging Face checkpoint directories: config.json, *.safetensors, tokenizer.json."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from serving.models.config import ModelConfig
from serving.models.registry import MODELS, unsupported_architecture
from serving.weights import ModelLoadError


class SafetensorsDirectory:
    """`Weights` of a directory, read tensor by tensor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = _read_config(path)
        self._files: dict[str, Any] = {}
        for file in sorted(path.glob("*.safetensors")):
            handle = _open(file)
            self._files |= dict.fromkeys(handle.keys(), handle)
        if not self._files:
            raise ModelLoadError(
                f"{path}: no *.safetensors file with tensors in this directory; fetch the model again."
            )

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def get(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._files[name].get_tensor(name)
        return tensor.to(torch.float32)


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file of a model; `ModelLoadError` if it is missing or is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelLoadError(f"{path}: no such file; a model directory needs it.") from error
    except ValueError as error:
        raise ModelLoadError(f"{path}: not valid JSON ({error}); fetch the model again.") from error
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path}: a JSON object was expected; fetch the model again.")
    return value


def _open(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(
            f"{file}: the safetensors file is truncated or corrupt ({error}); fetch it again."
        ) from error


def _read_config(path: Path) -> ModelConfig:
    file = path / "config.json"
    raw = read_json(file)
    architecture = raw.get("model_type", "(none)")
    if architecture not in MODELS:
        raise unsupported_architecture(architecture)
    _refuse_unsupported(file, raw)
    try:
        return _parse_config(architecture, raw)
    except KeyError as error:
        raise ModelLoadError(f"{file}: the key {error} is missing; fetch the model again.") from error
    except (TypeError, ValueError) as error:
        raise ModelLoadError(f"{file}: {error}; fetch the model again.") from error


def _parse_config(architecture: str, raw: dict[str, Any]) -> ModelConfig:
    heads, hidden = raw["num_attention_heads"], raw["hidden_size"]
    return ModelConfig(
        architecture=architecture,
        vocab_size=raw["vocab_size"],
        hidden_size=hidden,
        intermediate_size=raw["intermediate_size"],
        num_layers=raw["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=raw.get("num_key_value_heads") or heads,
        head_dim=raw.get("head_dim") or hidden // heads,
        max_position=raw["max_position_embeddings"],
        rope_theta=_rope(raw).get("rope_theta", raw.get("rope_theta", 10000.0)),
        rms_norm_eps=raw["rms_norm_eps"],
        tie_embeddings=raw.get("tie_word_embeddings", False),
    )


def _rope(raw: dict[str, Any]) -> dict[str, Any]:
    """Newer configurations nest the base and the scaling, older ones have the scaling only."""
    rope: dict[str, Any] = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    return rope


def _refuse_unsupported(file: Path, raw: dict[str, Any]) -> None:
    scaling = _rope(raw).get("rope_type", _rope(raw).get("type", "default"))
    activation = raw.get("hidden_act", "silu")
    for key, value, supported in (
        ("rope_type", scaling, "default"),
        ("hidden_act", activation, "silu"),
        ("mlp_bias", bool(raw.get("mlp_bias")), False),
        ("quantization_config", raw.get("quantization_config"), None),
    ):
        if value != supported:
            raise ModelLoadError(f"{file}: {key} {value!r} is not supported, only {supported!r}; use another model.")
