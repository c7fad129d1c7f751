"""Rank 0: starts the other ranks, loads its part of the model, and sends each step to the others."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from serving.checkpoint.checkpoint import load_checkpoint
from serving.config import EngineConfig
from serving.core import Batch, Ints, WorkerFailed
from serving.engine.loading import LoadedModel, load_model
from serving.engine.parallel.processes import Workers
from serving.engine.runner import ModelRunner
from serving.model.parallel.group import Group
from serving.model.parallel.split import Share

_SUMMED_FACTS = ("num_parameters", "weight_bytes_per_step", "kv_bytes_per_token")
BlockCopies = Sequence[tuple[int, int]]  # (source, target) of KV blocks that are copied before the step


def load_parallel(path: Path, config: EngineConfig) -> LoadedModel:
    """As `serving.engine.loading.load_model`, with `tensor_parallel_size` ranks that load their parts at once.

    Starts the processes of the other ranks.
    """
    group = Group(rank=0, size=config.tensor_parallel_size)
    Share.of(load_checkpoint(path).config, group.rank, group.size)  # raises, before any process starts, if it must
    workers = Workers(path, config)
    try:
        own = load_model(path, config, group)
        facts = [own.facts, *workers.wait_until_loaded()]
        assert isinstance(own.runner, ModelRunner)
        group.connect(workers.store, own.runner.device)
        own.runner.warm_up()
    except BaseException:  # also KeyboardInterrupt: the other ranks would wait for this one forever
        workers.kill()
        workers.close()
        raise
    return replace(own, runner=ParallelRunner(own.runner, workers, group), facts=_merge_facts(facts))


def _merge_facts(ranks: list[Mapping[str, int]]) -> Mapping[str, int]:
    """The facts about the whole model: sums over the ranks for `_SUMMED_FACTS`, rank 0's values for the others."""
    sums = Counter[str]()
    for facts in ranks:
        sums.update({name: facts[name] for name in _SUMMED_FACTS})
    return {**ranks[0], **sums}


class RankLost(WorkerFailed):
    """A rank ended or failed. The ranks are out of step, and no further step is possible."""


class ParallelRunner:
    """A `Runner` on several ranks. After a rank has failed, every `run` raises `RankLost`."""

    def __init__(self, own: ModelRunner, workers: Workers, group: Group) -> None:
        self._own, self._workers, self._group = own, workers, group

    @property
    def num_blocks(self) -> int:
        return self._own.num_blocks

    def run(self, batch: Batch) -> torch.Tensor:
        copies = [copy for item in batch.items for copy in item.copies]
        try:
            self._workers.send(encode_step(batch, copies))
            return self._own.compute(batch, copies)
        except Exception as error:  # after any failure, the other ranks may have computed a different step
            reason = f"tensor parallel rank 0 failed: {type(error).__name__}"
            raise RankLost(self._workers.kill_after_failure(reason)) from error

    def watch(self, on_loss: Callable[[str], None]) -> None:
        self._workers.watch(on_loss)

    def close(self) -> None:
        self._workers.close()
        self._group.disconnect()


def encode_step(batch: Batch, copies: BlockCopies) -> bytes:
    """The step as int64 numbers: five sizes, then the arrays of `decode_step` one after another."""
    sizes = [len(copies), len(batch.counts), len(batch.token_ids), batch.tables.shape[1], len(batch.sampled_rows)]
    parts = (sizes, np.array(copies).ravel(), batch.counts, batch.token_ids, batch.positions, batch.slots)
    return np.concatenate((*parts, batch.tables.ravel(), batch.sampled_rows)).astype(np.int64).tobytes()


def decode_step(message: bytes) -> tuple[Batch, BlockCopies]:
    """The batch, without `items`, and the block copies of a message from `encode_step`."""
    numbers = np.frombuffer(bytearray(message), np.int64)  # a copy, since torch needs writable arrays
    num_copies, sequences, tokens, width, sampled = map(int, numbers[:5])
    sizes = [5, 2 * num_copies, sequences, tokens, tokens, tokens, sequences * width, sampled]
    _, copies, counts, token_ids, positions, slots, tables, rows = np.split(numbers, np.cumsum(sizes)[:-1])
    batch = Batch(
        items=(),
        counts=counts,
        starts=_starts(counts),
        token_ids=token_ids,
        positions=positions,
        slots=slots,
        tables=tables.reshape(sequences, width),
        sampled_rows=rows,
    )
    return batch, [(int(source), int(target)) for source, target in copies.reshape(-1, 2)]


def _starts(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)])
