"""Architectures by name."""

from collections.abc import Sequence
from typing import Protocol

import torch

from serving.attention.backend import Attention, AttentionSpec
from serving.models.config import ModelConfig
from serving.models.decoder import Decoder
from serving.models.traits import TRAITS
from serving.precision import Precision
from serving.weights import ModelLoadError, Weights


class Model(Protocol):
    """Computes logits of a step's tokens; keeps no state of its own between steps, `Attention` does."""

    @property
    def attention_specs(self) -> Sequence[AttentionSpec]: ...

    num_parameters: int
    weight_bytes_per_step: int  # read by a step, whatever its tokens; a tied head counts once

    def logits(self, token_ids: torch.Tensor, attention: Attention, rows: torch.Tensor) -> torch.Tensor:
        """float32 [rows, vocab_size] after the tokens at `rows` of `token_ids` [tokens], whose step has begun.

        The last layer is computed past its attention for these rows only.
        """
        ...


def build_model(config: ModelConfig, weights: Weights, precision: Precision, max_len: int) -> Model:
    """The model, its weights in `precision`, for positions up to `max_len`; `ModelLoadError` for bad tensors."""
    if config.architecture not in TRAITS:
        raise unsupported_architecture(config.architecture)
    return Decoder(config, weights, precision, max_len)


def unsupported_architecture(name: str) -> ModelLoadError:
    return ModelLoadError(f"architecture {name!r} is not supported. Supported: {', '.join(TRAITS)}.")
