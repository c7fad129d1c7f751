"""A step's tokens as arrays: what to embed, where to cache it, which rows to sample."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.engine.scheduler import ScheduledSequence

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows are the step's tokens, a sequence's together: first those of one token, then the longer ones."""

    items: tuple[ScheduledSequence, ...]  # in the order of the rows
    counts: Ints  # [sequences] rows of each
    starts: Ints  # [sequences + 1] its first row; the last is the number of rows
    token_ids: Ints  # [tokens]
    positions: Ints  # [tokens] from 0 within the sequence
    slots: Ints  # [tokens] where the cache takes a token: block * block_size + offset
    tables: Ints  # [sequences, width] block ids, filled with 0
    sampled_rows: Ints  # [sampled] rows whose next token is wanted


def build_batch(step: Seq[ScheduledSequence], block_size: int) -> Batch:
    items = sorted(step, key=lambda item: item.count > 1)
    counts = np.array([item.count for item in items])
    starts = np.concatenate([[0], np.cumsum(counts)])
    firsts = np.array([item.start for item in items])
    positions = np.arange(starts[-1]) + np.repeat(firsts - starts[:-1], counts)
    tables = _tables(items)
    blocks = tables[np.repeat(np.arange(len(items)), counts), positions // block_size]
    return Batch(
        items=tuple(items),
        counts=counts,
        starts=starts,
        token_ids=np.array([t for item in items for t in item.tokens]),
        positions=positions,
        slots=blocks * block_size + positions % block_size,
        tables=tables,
        sampled_rows=_sampled_rows(items, starts),
    )


def _tables(items: Seq[ScheduledSequence]) -> Ints:
    tables = np.zeros((len(items), max(len(item.sequence.block_table) for item in items)), np.int64)
    for row, item in zip(tables, items, strict=True):
        row[: len(item.sequence.block_table)] = item.sequence.block_table
    return tables


def _sampled_rows(items: Seq[ScheduledSequence], starts: Ints) -> Ints:
    """The last row of a sequence all of whose tokens are in, and those of the drafts before it."""
    rows = [np.arange(stop - item.sampled, stop) for item, stop in zip(items, starts[1:], strict=True)]
    return np.concatenate(rows).astype(np.int64)
