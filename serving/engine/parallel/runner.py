"""The runner of rank 0: every step goes to the other ranks too."""

from collections.abc import Callable

import torch

from serving.batch import Batch
from serving.engine.parallel.processes import Workers
from serving.engine.parallel.step import encode_step
from serving.engine.runner import ModelRunner
from serving.model.parallel.group import Group
from serving.refusals import MachineFailed


class RankLost(MachineFailed):
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
