"""A step as rank 0 sends it to the others: the numbers of a `Batch`, without its requests."""

from collections.abc import Sequence

import numpy as np

from serving.batch import Batch, Ints

Copies = Sequence[tuple[int, int]]  # blocks to be copied before the step: from, to


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
