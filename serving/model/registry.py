"""Builds a model by the name of its architecture."""

from collections.abc import Sequence
from typing import Protocol

import torch

from serving.core import ModelLoadError
from serving.model.attention.base import Attention, AttentionSpec
from serving.model.config import TRAITS, ModelConfig
from serving.model.decoder import Decoder
from serving.model.parallel.group import Group
from serving.model.parallel.split import Split
from serving.model.precision import Precision
from serving.model.weights import Weights


class Model(Protocol):
    """Computes logits of a step's tokens; keeps no state of its own between steps, `Attention` does."""

    @property
    def attention_specs(self) -> Sequence[AttentionSpec]: ...

    num_parameters: int
    weight_bytes_per_step: int  # read by a step, whatever its tokens; a tied head counts once

    def logits(self, token_ids: torch.Tensor, attention: Attention, rows: torch.Tensor) -> torch.Tensor:
        """float32 [rows, vocab_size] after the tokens at `rows` of `token_ids` [tokens], whose step has begun.

        Of a model that is split, on rank 0; the other ranks' results mean nothing.

        The last layer is computed past its attention for these rows only.
        """
        ...


def build_model(
    config: ModelConfig, weights: Weights, precision: Precision, max_len: int, group: Group | None = None
) -> Model:
    """The model, its weights in `precision`, for positions up to `max_len`; with a group this rank's part of it.

    `ModelLoadError` for bad tensors, and for a model that can't be split so.
    """
    if config.architecture not in TRAITS:
        raise unsupported_architecture(config.architecture)
    if group is None:
        return Decoder(config, weights, precision, max_len)
    split = Split(config, group)
    return Decoder(split.config, split.weights(weights), precision, max_len, split)


def unsupported_architecture(name: str) -> ModelLoadError:
    return ModelLoadError(f"architecture {name!r} is not supported. Supported: {', '.join(TRAITS)}.")
