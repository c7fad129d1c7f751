"""The model and its KV cache: runs the forward pass of a step."""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch

from serving.batch import Batch
from serving.engine.graphs import CudaCapture, DecodeGraphs
from serving.model.attention.base import Attention
from serving.model.registry import Model


class Runner(Protocol):
    """What the engine needs of the model, wherever it is computed."""

    @property
    def num_blocks(self) -> int: ...

    def run(self, batch: Batch) -> torch.Tensor:
        """float32 logits [len(batch.sampled_rows), vocab]; the step's keys and values are in the cache then."""
        ...

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """From now on call it, once and from another thread, when no further step is possible, with the reason."""
        ...

    def close(self) -> None:
        """End what was started for the model."""
        ...


class ModelRunner:
    """Owns the weights and the cache, and nothing about requests. See `Runner`."""

    def __init__(
        self, model: Model, attention: Attention, device: torch.device, graphs: DecodeGraphs | None = None
    ) -> None:
        self._model = model
        self._attention = attention
        self._graphs = graphs
        self.device = device

    @property
    def num_blocks(self) -> int:
        return self._attention.num_blocks

    def run(self, batch: Batch) -> torch.Tensor:
        return self.compute(batch, [copy for item in batch.items for copy in item.copies])

    def compute(self, batch: Batch, copies: Iterable[tuple[int, int]]) -> torch.Tensor:
        """As `run`, after copying the KV blocks `copies`, each from one to another."""
        for source, target in copies:
            self._attention.copy_block(source, target)
        if self._graphs is not None and self._graphs.takes(batch):
            return self._graphs.run(batch)
        self._attention.begin(batch)
        token_ids, rows = (torch.from_numpy(a).to(self.device) for a in (batch.token_ids, batch.sampled_rows))
        return self._model.logits(token_ids, self._attention, rows)

    def warm_up(self) -> None:
        """Before the first step, and when the ranks are connected: graphs are captured. Raises `ModelLoadError`."""
        if self._graphs is not None:
            self._graphs.capture(CudaCapture())

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """All is in this process."""

    def close(self) -> None:
        """Nothing was started."""
