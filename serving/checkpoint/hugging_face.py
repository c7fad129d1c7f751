"""Hugging Face checkpoint directories: config.json and *.safetensors."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from serving.checkpoint.hugging_face_config import parse_config
from serving.model.weights import ModelLoadError


class SafetensorsDirectory:
    """`Weights` of a directory, read tensor by tensor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = parse_config(path / "config.json", read_json(path / "config.json"))
        self._tensors: dict[str, tuple[Any, str]] = {}  # by our name: the open file, and its name there
        for file in sorted(path.glob("*.safetensors")):
            handle = _open(file)
            self._tensors |= {_plain_name(name): (handle, name) for name in handle.keys()}  # noqa: SIM118
        if not self._tensors:
            raise ModelLoadError(
                f"{path}: no *.safetensors file with tensors in this directory; fetch the model again."
            )

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def get(self, name: str) -> torch.Tensor:
        file, there = self._tensors[name]
        tensor: torch.Tensor = file.get_tensor(there)
        return tensor.to(torch.float32)


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file of a model; `ModelLoadError` if it is missing or is none."""
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
    """Of a file as such: reading a pipe or a device would wait, or never end."""
    if path.exists() and not path.is_file():
        raise ModelLoadError(f"{path}: not a regular file; fetch the model again.")
    return path.read_text(encoding="utf-8")


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
    """The language model's tensors within a model that sees pictures too have a longer name, old or new."""
    for prefix, plain in (("language_model.model.", "model."), ("model.language_model.", "model.")):
        if name.startswith(prefix):
            return plain + name.removeprefix(prefix)
    return name.removeprefix("language_model.")
