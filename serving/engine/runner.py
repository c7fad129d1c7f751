"""Runs the forward pass of a step on the model and its KV cache, on CUDA by captured graphs."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import numpy as np
import torch

from serving.core import Batch, ModelLoadError
from serving.model.attention.base import Attention
from serving.model.attention.flash import VarlenAttention, VarlenPlan
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


Compute = Callable[[], torch.Tensor]
Capture = Callable[[Compute], Compute]
"""Records what a computation does, and returns what does it again: from the same inputs' memory, to the same output."""
_TOKEN, _POSITION, _SLOT, _TABLE = range(4)  # columns of the inputs; the table takes the rest


class DecodeGraphs:
    """One graph for each of `sizes`; a step of fewer sequences is filled up with rows that are for nobody."""

    def __init__(
        self, model: Model, attention: VarlenAttention, device: torch.device, *, max_num_seqs: int, max_len: int
    ) -> None:
        self.sizes = _sizes(max_num_seqs)
        self._model, self._attention, self._max_len = model, attention, max_len
        self._width = _TABLE + -(-max_len // attention.block_size)
        self._inputs = torch.zeros(self.sizes[-1], self._width, dtype=torch.int64, device=device)
        self._graphs: dict[int, Compute] = {}

    def capture(self, capture: Capture) -> None:
        """Of every size; the largest first, since the others fit into its memory. `ModelLoadError` if one can't be."""
        self._inputs.copy_(torch.from_numpy(self._filling(self.sizes[-1])))
        for size in reversed(self.sizes):
            try:
                self._graphs[size] = capture(partial(self._compute, size))
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:200]
                raise ModelLoadError(f"no CUDA graph of a decode step: {reason}; set cuda_graphs=false.") from error

    def takes(self, batch: Batch) -> bool:
        """Whether the step is one token each of not too many sequences, and each one's next is wanted."""
        count = len(batch.counts)
        return len(batch.token_ids) == count == len(batch.sampled_rows) and count <= self.sizes[-1]

    def run(self, batch: Batch) -> torch.Tensor:
        """As `Model.logits`. The result is valid until the next step."""
        count = len(batch.counts)
        size = next(size for size in self.sizes if size >= count)
        rows = self._filling(size)
        rows[:count, _TOKEN], rows[:count, _POSITION], rows[:count, _SLOT] = (
            batch.token_ids,
            batch.positions,
            batch.slots,
        )
        used = min(batch.tables.shape[1], self._width - _TABLE)
        rows[:count, _TABLE : _TABLE + used] = batch.tables[:, :used]
        self._inputs[:size].copy_(torch.from_numpy(rows), non_blocking=True)
        return self._graphs[size]()[:count]

    def _filling(self, size: int) -> np.typing.NDArray[np.int64]:
        """Rows of sequences of one token that lies in the scratch block."""
        rows = np.zeros((size, self._width), np.int64)
        rows[:, _SLOT] = self._attention.scratch_block * self._attention.block_size
        rows[:, _TABLE] = self._attention.scratch_block
        return rows

    def _compute(self, size: int) -> torch.Tensor:
        inputs = self._inputs[:size]
        positions = inputs[:, _POSITION]
        self._attention.plan = VarlenPlan(
            positions=positions,
            slots=inputs[:, _SLOT],
            first_rows=torch.arange(size + 1, dtype=torch.int32, device=inputs.device),
            lengths=(positions + 1).to(torch.int32),
            tables=inputs[:, _TABLE:].to(torch.int32),
            max_rows=1,
            max_length=self._max_len,
        )
        every_row = torch.arange(size, device=inputs.device)
        return self._model.logits(inputs[:, _TOKEN], self._attention, every_row)


class CudaCapture:
    """Captures CUDA graphs that share their memory: of one at a time the output is valid."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, compute: Compute) -> Compute:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            compute()  # what is set up at the first call can't be captured
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            out = compute()

        def replay() -> torch.Tensor:
            graph.replay()
            return out

        return replay


def _sizes(most: int) -> list[int]:
    """1, 2, 4, 8, …, and the most."""
    return [*(2**power for power in range((most - 1).bit_length())), most]


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
