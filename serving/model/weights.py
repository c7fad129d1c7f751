"""Where tensors come from: named float32 tensors, whatever the file format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


_LONGEST = 500  # characters of a message


class ModelLoadError(ValueError):
    """The model cannot be loaded. One line: what is wrong, with which file, what to do."""

    def __init__(self, message: str) -> None:
        """`message` may quote a library or a file: what is left is one line of bounded length."""
        line = " ".join(message.split())
        super().__init__(line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}")


class Weights(Protocol):
    """Tensors under the names that Hugging Face checkpoints use, e.g. `model.layers.0.mlp.up_proj.weight`."""

    def __contains__(self, name: object) -> bool: ...

    def get(self, name: str) -> torch.Tensor:
        """The tensor in float32 on the CPU; a matrix is [out_features, in_features]. KeyError if missing."""
        ...


def take(weights: Weights, name: str, *shape: int) -> torch.Tensor:
    """A tensor that must be there and have this shape; `ModelLoadError` otherwise."""
    if name not in weights:
        raise ModelLoadError(f"tensor {name!r} is missing: the file is incomplete; fetch it again.")
    tensor = weights.get(name)
    if tuple(tensor.shape) != shape:
        raise ModelLoadError(
            f"tensor {name!r} has shape {tuple(tensor.shape)}, the model's configuration says {shape}: "
            "the file is inconsistent; fetch it again."
        )
    return tensor


def take_optional(weights: Weights, name: str, *shape: int) -> torch.Tensor | None:
    """As `take`, or None when there is no such tensor (a bias)."""
    return take(weights, name, *shape) if name in weights else None
