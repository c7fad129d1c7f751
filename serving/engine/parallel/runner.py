"""Rank 0: loads the model together with the other ranks, and sends each step to them."""

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

_SUMMED = ("num_parameters", "weight_bytes_per_step", "kv_bytes_per_token")
Copies = Sequence[tuple[int, int]]  # blocks to be copied before the step: from, to


def load_parallel(path: Path, config: EngineConfig) -> LoadedModel:
    """As `serving.engine.loading.load_model`, while the other ranks, started here, load their parts."""
    group = Group(rank=0, size=config.tensor_parallel_size)
    Share.of(load_checkpoint(path).config, group.rank, group.size)  # what can't be split is refused before all else
    workers = Workers(path, config)
    try:
        own = load_model(path, config, group)
        facts = [own.facts, *workers.loaded()]
        assert isinstance(own.runner, ModelRunner)
        group.connect(workers.store, own.runner.device)
        own.runner.warm_up()
    except BaseException:  # an interrupt too: the other ranks would wait for this one
        workers.kill()
        workers.close()
        raise
    return replace(own, runner=ParallelRunner(own.runner, workers, group), facts=_of_all(facts))


def _of_all(ranks: list[Mapping[str, int]]) -> Mapping[str, int]:
    sums = Counter[str]()
    for facts in ranks:
        sums.update({name: facts[name] for name in _SUMMED})
    return {**ranks[0], **sums}


class RankLost(WorkerFailed):
    """A rank ended or failed: the ranks are no longer in step, and no further step is possible."""


class ParallelRunner:
    """See `serving.engine.runner.Runner`. `run` raises `RankLost` when a rank fails, and from then on."""

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
        except Exception as error:  # whatever it was: the others have computed something else meanwhile
            raise RankLost(self._workers.give_up(f"tensor parallel rank 0 failed: {type(error).__name__}")) from error

    def watch(self, on_loss: Callable[[str], None]) -> None:
        self._workers.watch(on_loss)

    def close(self) -> None:
        self._workers.close()
        self._group.disconnect()


def encode_step(batch: Batch, copies: Copies) -> bytes:
    """int64: the sizes of what follows, then it."""
    sizes = [len(copies), len(batch.counts), len(batch.token_ids), batch.tables.shape[1], len(batch.sampled_rows)]
    parts = (sizes, np.array(copies).ravel(), batch.counts, batch.token_ids, batch.positions, batch.slots)
    return np.concatenate((*parts, batch.tables.ravel(), batch.sampled_rows)).astype(np.int64).tobytes()


def decode_step(message: bytes) -> tuple[Batch, Copies]:
    numbers = np.frombuffer(bytearray(message), np.int64)  # a copy: torch wants its arrays writable
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
