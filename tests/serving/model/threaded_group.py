"""Ranks as threads of one process, for tests without worker processes."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch

from serving.model.parallel.group import Group

T = TypeVar("T")
_TIMEOUT_S = 60


class Exchange:
    """Exchanges one value per rank: every rank gets the values of all."""

    def __init__(self, size: int) -> None:
        self._parts: list[torch.Tensor] = [torch.empty(0)] * size
        self._barrier = threading.Barrier(size, timeout=_TIMEOUT_S)

    def all(self, rank: int, part: torch.Tensor) -> list[torch.Tensor]:
        self._parts[rank] = part.clone()
        self._barrier.wait()
        parts = list(self._parts)
        self._barrier.wait()
        return parts

    def give_up(self) -> None:
        self._barrier.abort()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadedGroup(Group):
    exchange: Exchange

    def sum(self, x: torch.Tensor) -> torch.Tensor:
        return x.copy_(torch.stack(self.exchange.all(self.rank, x)).sum(0))

    def gather_columns(self, x: torch.Tensor, widths: Sequence[int]) -> torch.Tensor:
        parts = self.exchange.all(self.rank, x)
        assert [part.shape[1] for part in parts] == list(widths)
        return torch.cat(parts, dim=1) if self.rank == 0 else x


def on_every_rank(size: int, work: Callable[[Group], T]) -> list[T]:
    """The results of `work`, run on each rank."""
    exchange = Exchange(size)

    def run(rank: int) -> T:
        try:
            return work(ThreadedGroup(rank=rank, size=size, exchange=exchange))
        except BaseException:
            exchange.give_up()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))
