"""A decoder's configuration, and the fields that each supported architecture fixes."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypedDict

import torch

from serving.model.fused_input import Activation
from serving.model.rope_scaling import RopeScaling, rope_frequencies

_MAXIMA = MappingProxyType(
    {
        "vocab_size": 2**22,
        "hidden_size": 2**18,
        "intermediate_size": 2**20,
        "num_layers": 2**12,
        "num_heads": 2**12,
        "num_kv_heads": 2**12,
        "head_dim": 2**13,
        "max_position": 2**31,
    }
)
"""Integer fields and their upper bounds, which are far beyond any published model's values."""
_POSITIVE = ("rope_theta", "rms_norm_eps", "embedding_scale", "attention_scale", "local_rope_theta")

_OPTIONAL = frozenset(("attention_scale", "local_rope_theta"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A decoder of pre-norm blocks: grouped-query attention with rotary positions, and a gated MLP.

    The architectures differ in the fields with defaults. `norm_offset` is added to every norm's weight: Gemma's
    checkpoints store the weights minus 1. `local_layers` attend to the last `window` tokens only, and have the rotary
    base `local_rope_theta` if it is set.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_position: int
    rope_theta: float
    rms_norm_eps: float
    tie_embeddings: bool
    activation: Activation = "silu"
    qk_norm: bool = False
    post_norms: bool = False
    norm_offset: float = 0.0
    embedding_scale: float = 1.0
    attention_scale: float | None = None  # head_dim**-0.5 by default
    window: int = 0
    local_layers: frozenset[int] = frozenset()
    local_rope_theta: float | None = None
    rotary_dim: int | None = None  # number of rotated dimensions of a head; all by default
    rope_scaling: RopeScaling | None = None  # of the layers with full attention

    def __post_init__(self) -> None:
        """ValueError for a value that no model has. The values come from an untrusted file."""
        for name, most in _MAXIMA.items():
            _check_integer(name, getattr(self, name), most)
        for name in _POSITIVE:
            _check_positive(name, getattr(self, name), optional=name in _OPTIONAL)
        if type(self.window) is not int or not 0 <= self.window < 2**31:
            raise ValueError(f"a sliding window of {self.window!r:.60} tokens; a whole number was expected")
        if not isinstance(self.tie_embeddings, bool):
            raise ValueError(f"tie_embeddings is {self.tie_embeddings!r:.60}; true or false was expected")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"{self.num_heads} heads cannot share {self.num_kv_heads} KV heads")
        if self.local_layers and self.window < 1:
            raise ValueError(f"layers with a sliding window of {self.window} tokens see nothing")
        self._check_rotary()

    def _check_rotary(self) -> None:
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd; rotary positions need an even number")
        if type(self.rotated) is not int or self.rotated % 2 or not 2 <= self.rotated <= self.head_dim:
            raise ValueError(f"rotary positions on {self.rotated!r:.60} of {self.head_dim} dimensions")
        if not torch.isfinite(rope_frequencies(self.rotated // 2, self.rope_theta, self.rope_scaling)).all():
            raise ValueError(f"rotary base {self.rope_theta} with {self.rope_scaling} gives no finite frequencies")

    @property
    def rotated(self) -> int:
        """The number of rotated dimensions of a head. These are its first dimensions."""
        return self.head_dim if self.rotary_dim is None else self.rotary_dim

    def is_local(self, layer: int) -> bool:
        """Whether a layer attends to the last `window` tokens only."""
        return layer in self.local_layers


def _check_integer(name: str, value: object, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{name} is {value!r:.60}; a whole number from 1 to {most} was expected")


def _check_positive(name: str, value: object, *, optional: bool) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e15
    if not is_number and not (optional and value is None):
        raise ValueError(f"{name} is {value!r:.60}; a number above 0 and below 1e15 was expected")


class Traits(TypedDict, total=False):
    """Fields of `ModelConfig` that an architecture fixes."""

    activation: Activation
    qk_norm: bool
    post_norms: bool


TRAITS: Mapping[str, Traits] = MappingProxyType(
    {
        "gemma3": Traits(activation="gelu_tanh", qk_norm=True, post_norms=True),
        "llama": Traits(),
        "mistral": Traits(),
        "phi3": Traits(),
        "qwen2": Traits(),
        "qwen3": Traits(qk_norm=True),
    }
)
"""The traits by the architecture's name."""


def all_but_every(period: int, num_layers: int) -> frozenset[int]:
    """The local layers of a model in which every `period`-th layer has full attention."""
    return frozenset(layer for layer in range(num_layers) if (layer + 1) % period)
