"""The machine's own limits, measured: memory read bandwidth and float32 matrix products a second."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

READ_BYTES = 256 * 1024**2
"""Much larger than any cache, so that it comes from memory."""
MATRIX = 2048
TRIES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Bytes a second read and FLOP a second done at best; `source` is "measured" or "given"."""

    bytes_per_s: float | None
    flop_per_s: float | None
    dtype: str = "float32"
    source: str = "measured"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_peak() -> Peak:
    """The best of a few tries; takes a second or two of all cores, so nothing else should run."""
    return Peak(bytes_per_s=read_bandwidth(), flop_per_s=matmul_rate())


def read_bandwidth() -> float:
    """Bytes a second of a large float32 array, read once by one thread or by one on each core, whichever is more."""
    import numpy as np

    data = np.ones(READ_BYTES // 4, dtype=np.float32)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(_read(data, threads) for threads in sorted({1, cores}))


def _read(data: Any, threads: int) -> float:
    import numpy as np

    parts = np.array_split(data, threads)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIES):
            began = perf_counter()
            list(pool.map(np.max, parts))
            best = max(best, data.nbytes / (perf_counter() - began))
    return best


def matmul_rate() -> float:
    """FLOP a second of a square float32 product by NumPy's BLAS, on as many cores as it takes."""
    import numpy as np

    generator = np.random.default_rng(0)
    a = generator.random((MATRIX, MATRIX), dtype=np.float32)
    out = np.empty_like(a)
    best = 0.0
    for _ in range(TRIES):
        began = perf_counter()
        np.matmul(a, a.T, out=out)
        best = max(best, 2 * MATRIX**3 / (perf_counter() - began))
    return best
