"""Opens a checkpoint: a GGUF file or a Hugging Face directory."""

from dataclasses import dataclass
from pathlib import Path

from serving.checkpoint.gguf import GGUFFile
from serving.checkpoint.gguf_reader import is_gguf
from serving.checkpoint.gguf_tokenizer import gguf_tokenizer
from serving.checkpoint.hugging_face import SafetensorsDirectory
from serving.checkpoint.tokenizer import Tokenizer, directory_tokenizer
from serving.checkpoint.unfused import UnfusedWeights
from serving.core import ModelLoadError
from serving.model.config import ModelConfig
from serving.model.weights import Weights


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
