"""Hugging Face checkpoint directories: config.json, as old and new versions of `transformers` write it, and
*.safetensors."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from serving.checkpoint.int4_matrix import int4_layout
from serving.checkpoint.rope_parameters import (
    ROPE_TYPES,
    max_position,
    partial_rotary_factor,
    rope_parameters,
    rope_scaling,
    rope_type,
)
from serving.checkpoint.tensor_checks import check_biases, head_is_tied
from serving.core import ModelLoadError
from serving.model.config import TRAITS, ModelConfig, all_but_every
from serving.model.registry import unsupported_architecture
from serving.model.weights import GROUP, INT4, Matrix, matrix_of

_LOG = logging.getLogger(__name__)

_ARCHITECTURE_OF = MappingProxyType({"gemma3_text": "gemma3"})
# The values of keys that published files leave out.
_DEFAULTS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "qwen3": {"head_dim": 128},
        "mistral": {"sliding_window": 4096},
        "phi3": {"original_max_position_embeddings": 4096},
        "gemma3": {
            "hidden_act": "gelu_pytorch_tanh",
            "vocab_size": 262_208,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "max_position_embeddings": 131_072,
            "query_pre_attn_scalar": 256,
            "sliding_window": 4096,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000.0,
            "rope_local_base_freq": 10_000.0,
            "tie_word_embeddings": True,
        },
    }
)


_ALWAYS_WINDOWED = ("gemma3", "mistral", "phi3")  # `sliding_window` applies without `use_sliding_window`


class SafetensorsDirectory:
    """The `Weights` of a directory, read one tensor at a time."""

    def __init__(self, path: Path) -> None:
        """`ModelLoadError` for a missing or corrupt file, and for a model that is not supported."""
        self.path = path
        file = path / "config.json"
        raw = read_json(file)
        self._has_widened = False
        self.config = parse_config(file, raw)
        self._tensors: dict[str, tuple[Any, str]] = {}  # plain name: the open file, and the tensor's name in it
        for part in sorted(path.glob("*.safetensors")):
            handle = _open(part)
            self._tensors |= {_plain_name(name): (handle, name) for name in handle.keys()}  # noqa: SIM118
        if not self._tensors:
            raise ModelLoadError(
                f"{path}: no *.safetensors file with tensors in this directory; fetch the model again."
            )
        self._layout = int4_layout(file, {**raw, **raw.get("text_config", {})})
        self._apply_tensors(file, {**raw, **raw.get("text_config", {})})

    def _apply_tensors(self, file: Path, raw: dict[str, Any]) -> None:
        """Sets whether the head is tied, and checks the biases, from the tensors."""
        tied = head_is_tied(file, raw.get("tie_word_embeddings"), self, self._stored)
        self.config = replace(self.config, tie_embeddings=tied)
        check_biases(file, self.config.architecture, raw, self._tensors, self._read)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors or self._layer_of(name) is not None

    def get(self, name: str) -> torch.Tensor:
        if name in self._tensors:
            return self._read(name).to(torch.float32)
        matrix = self.matrix(name)
        return matrix.rows(0, matrix.shape[0])

    def matrix(self, name: str) -> Matrix:
        layer = self._layer_of(name)
        if layer is None or self._layout is None:
            return matrix_of(name, self._read(name))
        try:
            matrix = self._layout.matrix(layer, self._read, self._tensors)
        except KeyError as error:
            raise ModelLoadError(f"tensor {error} is missing: the file is incomplete; fetch it again.") from error
        self._warn_of_widening(layer, matrix)
        return matrix

    def _layer_of(self, name: object) -> str | None:
        """The layer that has this weight packed in 4 bits; None for a tensor that the files have under this name."""
        if self._layout is None or name in self._tensors or not (isinstance(name, str) and name.endswith(".weight")):
            return None
        layer = name.removesuffix(".weight")
        return layer if f"{layer}.qweight" in self._tensors else None

    def _warn_of_widening(self, layer: str, matrix: Matrix) -> None:
        if self._has_widened or matrix.storage_format in INT4:
            return
        self._has_widened = True
        _LOG.warning(
            "%s: int4 can't hold the 4-bit weights of %s exactly: groups of %d inputs have no common float16 scale "
            "(act-order, or an odd size). Quantization auto uses %s for such layers; int4 would round them again.",
            *(self.path, layer, GROUP, matrix.storage_format),
        )

    def _stored(self, name: str) -> torch.Tensor:
        return self._read(name) if name in self._tensors else self.get(name)

    def _read(self, name: str) -> torch.Tensor:
        file, name_in_file = self._tensors[name]
        tensor: torch.Tensor = file.get_tensor(name_in_file)
        return tensor


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model. `ModelLoadError` if the file is missing or is no JSON object."""
    try:
        value = json.loads(read_text(path))
    except FileNotFoundError as error:
        raise ModelLoadError(f"{path}: no such file; a model directory needs it.") from error
    except RecursionError as error:
        raise ModelLoadError(f"{path}: it is nested too deep; fetch the model again.") from error
    except ValueError as error:
        raise ModelLoadError(f"{path}: not valid JSON ({error}); fetch the model again.") from error
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path}: a JSON object was expected; fetch the model again.")
    return value


def read_text(path: Path) -> str:
    """The text of a regular file. `ModelLoadError` for a pipe or a device: reading one could block or never end."""
    if path.exists() and not path.is_file():
        raise ModelLoadError(f"{path}: not a regular file; fetch the model again.")
    return path.read_text(encoding="utf-8")


def parse_config(file: Path, raw: dict[str, Any]) -> ModelConfig:
    """The model's configuration from `raw`, the content of `file`. `ModelLoadError` for invalid content, and for a
    model that is not supported."""
    name = raw.get("model_type", "(none)")
    architecture = _ARCHITECTURE_OF.get(name, name) if isinstance(name, str) else ""
    if architecture not in TRAITS:
        raise unsupported_architecture(str(name)[:80])
    try:
        # Multimodal Gemma models nest the language model's settings.
        raw = {**_DEFAULTS.get(architecture, {}), **raw, **raw.get("text_config", {})}
        _refuse_unsupported(file, architecture, raw)
        return _config(file, architecture, raw)
    except KeyError as error:
        raise ModelLoadError(f"{file}: the key {error} is missing; fetch the model again.") from error
    except ModelLoadError:
        raise
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, MemoryError) as error:
        raise ModelLoadError(f"{file}: {error}; fetch the model again.") from error


def _config(file: Path, architecture: str, raw: dict[str, Any]) -> ModelConfig:
    heads, hidden = raw["num_attention_heads"], raw["hidden_size"]
    gemma, head_dim = architecture == "gemma3", raw.get("head_dim") or hidden // heads
    local = _local_layers(architecture, raw)
    return ModelConfig(
        architecture=architecture,
        vocab_size=raw["vocab_size"],
        hidden_size=hidden,
        intermediate_size=raw["intermediate_size"],
        num_layers=raw["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=raw.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        max_position=max_position(file, raw),
        rope_theta=rope_parameters(raw).get("rope_theta", raw.get("rope_theta", 10000.0)),
        rotary_dim=int(head_dim * partial_rotary_factor(raw)),
        rope_scaling=rope_scaling(raw),
        local_rope_theta=rope_parameters(raw, "sliding_attention").get("rope_theta", raw.get("rope_local_base_freq")),
        rms_norm_eps=raw["rms_norm_eps"],
        tie_embeddings=raw.get("tie_word_embeddings", False),
        window=raw["sliding_window"] if local else 0,
        local_layers=local,
        norm_offset=1.0 if gemma else 0.0,
        embedding_scale=hidden**0.5 if gemma else 1.0,
        attention_scale=raw["query_pre_attn_scalar"] ** -0.5 if gemma else None,
        **TRAITS[architecture],
    )


def _local_layers(architecture: str, raw: dict[str, Any]) -> frozenset[int]:
    """The layers with a sliding window: from `layer_types` or, in older files, from a period or a first layer."""
    layers = raw["num_hidden_layers"]
    if not raw.get("sliding_window") or not raw.get("use_sliding_window", architecture in _ALWAYS_WINDOWED):
        return frozenset()
    if architecture in ("mistral", "phi3"):
        return frozenset(range(layers))
    if raw.get("layer_types"):
        return frozenset(i for i, kind in enumerate(raw["layer_types"]) if kind == "sliding_attention")
    if architecture == "gemma3":
        return all_but_every(raw.get("sliding_window_pattern") or raw.get("_sliding_window_pattern") or 6, layers)
    return frozenset(range(raw["max_window_layers"], layers))


def _refuse_unsupported(file: Path, architecture: str, raw: dict[str, Any]) -> None:
    int4_layout(file, raw)
    gelu = TRAITS[architecture].get("activation") == "gelu_tanh"
    partial = partial_rotary_factor(raw)
    kinds = set(raw.get("layer_types") or ()) - {"full_attention", "sliding_attention"}
    for key, value, supported in (
        ("rope_type", rope_type(raw), ROPE_TYPES),
        ("rope_type of the sliding layers", rope_type(raw, "sliding_attention"), ("default",)),
        ("partial_rotary_factor", partial, (partial,) if architecture == "phi3" else (1.0,)),
        ("hidden_act", raw.get("hidden_activation") or raw.get("hidden_act", "silu"), (_activation_name(gelu=gelu),)),
        ("layer_types", ", ".join(sorted(kinds)), ("",)),
        ("attn_logit_softcapping", raw.get("attn_logit_softcapping"), (None,)),
        ("final_logit_softcapping", raw.get("final_logit_softcapping"), (None,)),
        ("use_bidirectional_attention", bool(raw.get("use_bidirectional_attention")), (False,)),
    ):
        if value not in supported:
            allowed = " or ".join(map(repr, supported))
            raise ModelLoadError(f"{file}: {key} {value!r} is not supported, only {allowed}; use another model.")


def _activation_name(*, gelu: bool) -> str:
    return "gelu_pytorch_tanh" if gelu else "silu"


def _open(file: Path) -> Any:
    if not file.is_file():
        raise ModelLoadError(f"{file}: not a regular file; fetch the model again.")
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(
            f"{file}: the safetensors file is truncated or corrupt ({error}); fetch it again."
        ) from error


def _plain_name(name: str) -> str:
    """A tensor's name without the prefix that the language model has within a multimodal model."""
    for prefix, plain in (("language_model.model.", "model."), ("model.language_model.", "model.")):
        if name.startswith(prefix):
            return plain + name.removeprefix(prefix)
    return name.removeprefix("language_model.")
