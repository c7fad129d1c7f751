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
    """Computes the logits of a step's tokens. A model has no state between steps: `Attention` has the KV cache."""

    @property
    def attention_specs(self) -> Sequence[AttentionSpec]: ...

    num_parameters: int
    weight_bytes_per_step: int  # bytes that a step reads for any number of tokens; a tied head counts once

    def logits(self, token_ids: torch.Tensor, attention: Attention, rows: torch.Tensor) -> torch.Tensor:
        """The logits float32 [rows, vocab_size] after the tokens at `rows` of `token_ids` [tokens].

        `attention.begin` must have been called for the step. After the last layer's attention, only these rows are
        computed. With tensor parallelism, rank 0 has the logits; the other ranks' results have no meaning.
        """
        ...


def build_model(
    config: ModelConfig, weights: Weights, precision: Precision, max_len: int, group: Group | None = None
) -> Model:
    """The model with weights in `precision`, for positions below `max_len`. With a group, this rank's part of it.

    `ModelLoadError` for bad tensors, and for a model that can't be split among the group's ranks.
    """
    if config.architecture not in TRAITS:
        raise unsupported_architecture(config.architecture)
    if group is None:
        return Decoder(config, weights, precision, max_len)
    split = Split(config, group)
    return Decoder(split.config, split.weights(weights), precision, max_len, split)


def unsupported_architecture(name: str) -> ModelLoadError:
    return ModelLoadError(f"architecture {name!r} is not supported. Supported: {', '.join(TRAITS)}.")
