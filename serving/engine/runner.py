"""Runs the forward pass of a step, on CUDA with captured graphs where possible."""

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
    """Computes the model for the engine, in this process or in several."""

    @property
    def num_blocks(self) -> int: ...

    def run(self, batch: Batch) -> torch.Tensor:
        """Compute a step: float32 logits [len(batch.sampled_rows), vocab]. Writes keys and values to the cache."""
        ...

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """Call `on_loss` with the reason, once and from another thread, if no further step is possible."""
        ...

    def close(self) -> None:
        """End the processes that compute the model."""
        ...


Compute = Callable[[], torch.Tensor]
Capture = Callable[[Compute], Compute]
"""Records a computation and returns a function that replays it, with the same memory for inputs and output."""
_TOKEN, _POSITION, _SLOT, _TABLE = range(4)  # columns of the inputs; the block table takes the rest


class DecodeGraphs:
    """CUDA graphs of decode steps, one for each batch size in `sizes`.

    A step with fewer sequences uses the next larger graph. Its padding rows read and write only the scratch block.
    """

    def __init__(
        self, model: Model, attention: VarlenAttention, device: torch.device, *, max_num_seqs: int, max_len: int
    ) -> None:
        self.sizes = _sizes(max_num_seqs)
        self._model, self._attention, self._max_len = model, attention, max_len
        self._width = _TABLE + -(-max_len // attention.block_size)
        self._inputs = torch.zeros(self.sizes[-1], self._width, dtype=torch.int64, device=device)
        self._graphs: dict[int, Compute] = {}

    def capture(self, capture: Capture) -> None:
        """Capture every size, the largest first: the others fit into its memory. Raises `ModelLoadError`."""
        self._inputs.copy_(torch.from_numpy(self._padding_rows(self.sizes[-1])))
        for size in reversed(self.sizes):
            try:
                self._graphs[size] = capture(partial(self._compute, size))
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:200]
                raise ModelLoadError(
                    f"can't capture the CUDA graph of a decode step: {reason}; set cuda_graphs=false."
                ) from error

    def can_run(self, batch: Batch) -> bool:
        """Whether the batch has one sampled token per sequence and no more sequences than the largest graph."""
        count = len(batch.counts)
        return len(batch.token_ids) == count == len(batch.sampled_rows) and count <= self.sizes[-1]

    def run(self, batch: Batch) -> torch.Tensor:
        """float32 logits [sequences, vocab], valid until the next step."""
        count = len(batch.counts)
        size = next(size for size in self.sizes if size >= count)
        rows = self._padding_rows(size)
        rows[:count, _TOKEN], rows[:count, _POSITION], rows[:count, _SLOT] = (
            batch.token_ids,
            batch.positions,
            batch.slots,
        )
        used = min(batch.tables.shape[1], self._width - _TABLE)
        rows[:count, _TABLE : _TABLE + used] = batch.tables[:, :used]
        self._inputs[:size].copy_(torch.from_numpy(rows), non_blocking=True)
        return self._graphs[size]()[:count]

    def _padding_rows(self, size: int) -> np.typing.NDArray[np.int64]:
        """Input rows [size, width] of sequences with one token, in the scratch block."""
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
    """Captures CUDA graphs in one memory pool. Replaying a graph overwrites the outputs of the others."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, compute: Compute) -> Compute:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            compute()  # the first call does setup that can't be captured
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            out = compute()

        def replay() -> torch.Tensor:
            graph.replay()
            return out

        return replay


def _sizes(max_size: int) -> list[int]:
    """The powers of two below `max_size`, and `max_size`."""
    return [*(2**power for power in range((max_size - 1).bit_length())), max_size]


class ModelRunner:
    """A `Runner` that computes the model, or one rank's part of it, in this process."""

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
        """As `run`. First copies KV blocks: `copies` has pairs (source, target)."""
        for source, target in copies:
            self._attention.copy_block(source, target)
        if self._graphs is not None and self._graphs.can_run(batch):
            return self._graphs.run(batch)
        self._attention.begin(batch)
        token_ids, rows = (torch.from_numpy(a).to(self.device) for a in (batch.token_ids, batch.sampled_rows))
        return self._model.logits(token_ids, self._attention, rows)

    def warm_up(self) -> None:
        """Capture the graphs, if any. Call it before the first step, after the ranks are connected.

        Raises `ModelLoadError`.
        """
        if self._graphs is not None:
            self._graphs.capture(CudaCapture())

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """Does nothing: there is no other process."""

    def close(self) -> None:
        """Does nothing: there is no other process."""
