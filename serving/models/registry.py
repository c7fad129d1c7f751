"""Architectures by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import torch

from serving.attention import KVCache
from serving.batch import Batch
from serving.linear import Precision
from serving.models.config import ModelConfig
from serving.models.llama import LlamaModel
from serving.weights import ModelLoadError, Weights


class Model(Protocol):
    """Computes logits of a step's tokens; keeps no state of its own between steps, the cache does."""

    def hidden(self, batch: Batch, cache: KVCache) -> torch.Tensor:
        """[tokens, hidden_size] before the last norm; writes the tokens' keys and values into `cache`."""
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[rows, hidden_size] to float32 [rows, vocab_size]."""
        ...


class ModelClass(Protocol):
    def __call__(self, config: ModelConfig, weights: Weights, precision: Precision) -> Model: ...


MODELS: Mapping[str, ModelClass] = MappingProxyType({"llama": LlamaModel})


def build_model(config: ModelConfig, weights: Weights, precision: Precision) -> Model:
    """The model, its weights in `precision`; `ModelLoadError` for bad tensors."""
    if config.architecture not in MODELS:
        raise unsupported_architecture(config.architecture)
    return MODELS[config.architecture](config, weights, precision)


def unsupported_architecture(name: str) -> ModelLoadError:
    return ModelLoadError(f"architecture {name!r} is not supported. Supported: {', '.join(sorted(MODELS))}.")
