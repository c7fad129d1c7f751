"""Where tensors come from: named float32 tensors, whatever the file format."""

from typing import Protocol

import torch

from serving.core import ModelLoadError


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
