"""Opens a checkpoint: a GGUF file or a Hugging Face directory."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from serving.checkpoint.gguf import GGUFFile
from serving.checkpoint.gguf_reader import is_gguf
from serving.checkpoint.gguf_tokenizer import gguf_tokenizer
from serving.checkpoint.hugging_face import SafetensorsDirectory
from serving.checkpoint.tokenizer import Tokenizer, directory_tokenizer
from serving.core import ModelLoadError
from serving.model.config import ModelConfig
from serving.model.weights import Matrix, MatrixSlice, Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model on disk: its configuration, weights and tokenizer."""

    config: ModelConfig
    weights: Weights
    tokenizer: Tokenizer


def load_checkpoint(path: Path) -> Checkpoint:
    """Opens a .gguf file, or a directory with config.json, *.safetensors and tokenizer.json.

    `ModelLoadError` when the checkpoint is unreadable, corrupt or not supported.
    """
    if path.exists() and not path.is_dir() and not path.is_file():
        raise ModelLoadError(f"{path}: neither a file nor a directory; give a .gguf file or a directory.")
    try:
        return _load_directory(path) if path.is_dir() else _load_gguf(path)
    except OSError as error:
        raise ModelLoadError(f"{path}: cannot be read ({error.strerror}); give a .gguf file or a directory.") from error


def _load_gguf(path: Path) -> Checkpoint:
    if not is_gguf(path):
        raise ModelLoadError(
            f"{path}: not a GGUF file (it does not begin with 'GGUF'); "
            "give a .gguf file or a directory with config.json and *.safetensors."
        )
    file = GGUFFile(path)
    return Checkpoint(config=file.config, weights=_named(file, file.config), tokenizer=gguf_tokenizer(file))


def _load_directory(path: Path) -> Checkpoint:
    directory = SafetensorsDirectory(path)
    return Checkpoint(
        config=directory.config, weights=_named(directory, directory.config), tokenizer=directory_tokenizer(path)
    )


def _named(weights: Weights, config: ModelConfig) -> Weights:
    return UnfusedWeights(weights, config) if config.architecture == "phi3" else weights


_PARTS: Mapping[str, tuple[str, ...]] = {
    "self_attn.qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "mlp.gate_up_proj": ("gate_proj", "up_proj"),
}


class UnfusedWeights:
    """`Weights` that split each fused tensor by rows into the tensors of its projections. Other tensors stay as they
    are. `ModelLoadError` for a fused tensor with a wrong number of rows."""

    def __init__(self, weights: Weights, config: ModelConfig) -> None:
        self._weights = weights
        queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        sizes = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
        sizes |= {"gate_proj": config.intermediate_size, "up_proj": config.intermediate_size}
        self._rows = {part: _rows(names, part, sizes) for names in _PARTS.values() for part in names}
        self._totals = {fused: sum(sizes[part] for part in names) for fused, names in _PARTS.items()}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (self._fused(name) is not None or name in self._weights)

    def get(self, name: str) -> torch.Tensor:
        fused = self._fused(name)
        if fused is None:
            return self._weights.get(name)
        tensor = self._weights.get(fused)
        return tensor[self._rows_of(name, fused, tensor.shape[0])].clone()

    def matrix(self, name: str) -> Matrix:
        fused = self._fused(name)
        if fused is None:
            return self._weights.matrix(name)
        matrix = self._weights.matrix(fused)
        rows = self._rows_of(name, fused, matrix.shape[0])
        return MatrixSlice(matrix=matrix, row_part=rows, column_part=slice(0, matrix.shape[1]))

    def _fused(self, name: str) -> str | None:
        """The fused tensor that contains this tensor's rows; None if there is none."""
        module, _, kind = name.rpartition(".")
        for fused, parts in _PARTS.items():
            prefix, _, part = module.rpartition(".")
            found = f"{prefix.rpartition('.')[0]}.{fused}.{kind}"
            if part in parts and found in self._weights:
                return found
        return None

    def _rows_of(self, name: str, fused: str, rows: int) -> slice:
        total = next(size for module, size in self._totals.items() if f".{module}." in fused)
        if rows != total:
            raise ModelLoadError(
                f"tensor {fused!r} has {rows} rows, the model's configuration says {total}: "
                "the file is inconsistent; fetch it again."
            )
        return self._rows[name.split(".")[-2]]


def _rows(names: tuple[str, ...], part: str, sizes: Mapping[str, int]) -> slice:
    before = sum(sizes[name] for name in names[: names.index(part)])
    return slice(before, before + sizes[part])
