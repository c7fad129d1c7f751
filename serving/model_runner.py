"""The model and its KV cache: runs the forward pass of a step."""

import torch

from serving.attention.backend import Attention
from serving.batch import Batch
from serving.models.registry import Model


class ModelRunner:
    """Owns the weights and the cache, and nothing about requests."""

    def __init__(self, model: Model, attention: Attention, device: torch.device) -> None:
        self._model = model
        self._attention = attention
        self._device = device

    @property
    def num_blocks(self) -> int:
        return self._attention.num_blocks

    def run(self, batch: Batch) -> torch.Tensor:
        """float32 logits [len(batch.sampled_rows), vocab]; the step's keys and values are in the cache then."""
        for item in batch.items:
            for source, target in item.copies:
                self._attention.copy_block(source, target)
        self._attention.begin(batch)
        token_ids, rows = (torch.from_numpy(a).to(self._device) for a in (batch.token_ids, batch.sampled_rows))
        return self._model.logits(token_ids, self._attention, rows)
