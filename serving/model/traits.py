"""What sets the supported architectures apart, whatever the file format."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypedDict

from serving.model.fused_input import Activation


class Traits(TypedDict, total=False):
    """Fields of `ModelConfig` that an architecture fixes."""

    activation: Activation
    qk_norm: bool
    post_norms: bool


TRAITS: Mapping[str, Traits] = MappingProxyType(
    {
        "gemma3": Traits(activation="gelu_tanh", qk_norm=True, post_norms=True),
        "llama": Traits(),
        "qwen2": Traits(),
        "qwen3": Traits(qk_norm=True),
    }
)
"""By the name of the architecture."""


def all_but_every(period: int, num_layers: int) -> frozenset[int]:
    """The local layers of a model in which each `period`-th layer sees everything."""
    return frozenset(layer for layer in range(num_layers) if (layer + 1) % period)
