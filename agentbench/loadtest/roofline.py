"""Measures the machine's limits, and the share of them that a served model used.

The limits are memory read bandwidth and the rate of float32 matrix products; the shares are MBU and MFU.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

from agentbench.loadtest.metrics import end_to_end, measured, window_s
from agentbench.loadtest.record import Record
from agentbench.stats.calls import NS

READ_BYTES = 256 * 1024**2
"""Much larger than any cache, so that reads come from memory."""
MATRIX = 2048
TRIES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Peak bytes read per second and FLOP per second; `source` is "measured" or "given"."""

    bytes_per_s: float | None
    flop_per_s: float | None
    dtype: str = "float32"
    source: str = "measured"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_peak() -> Peak:
    """The best of a few tries. It uses all cores for a second or two, so nothing else should run."""
    return Peak(bytes_per_s=read_bandwidth(), flop_per_s=matmul_rate())


def read_bandwidth() -> float:
    """Bytes per second when reading a large float32 array once, with one thread or one per core; the faster counts."""
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
    """FLOP per second of a square float32 product in NumPy's BLAS, on as many cores as it uses."""
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


NEEDED = ("num_parameters", "weight_bytes_per_step", "kv_bytes_per_token", "num_layers", "hidden_size")


def utilization(
    rounds: Sequence[Sequence[Record]], architecture: Mapping[str, Any] | None, peak: Peak | None
) -> dict[str, float | None]:
    """`mbu` and `mfu` as fractions, with their components; None when the model card or the peak is unknown.

    MBU = (parameter bytes of a step + KV bytes of all live sequences) / step time / peak bandwidth. The step time is
    the median over requests of the mean gap between chunks: TPOT, when a step gives one token. MFU = Σ over computed
    tokens of (2·N + 4·L·H·Q·T) / window / peak FLOP/s, with H·Q the hidden size and T the token's own context; cached
    prompt tokens are not computed. Both are None when the server did not count the tokens of every answer.
    """
    unknown = {"mbu": None, "mfu": None, "step_s": None, "live_kv_bytes": None}
    if architecture is None or peak is None or any(not _number(architecture.get(name)) for name in NEEDED):
        return dict(unknown)
    records = [r for r in end_to_end([measured(each) for each in rounds]) if r.error is None and r.chunk_at]
    step, window = step_s(records), window_s(records)
    if any(r.prompt_tokens is None or r.completion_tokens is None for r in records):
        return {**unknown, "step_s": step}
    live = live_tokens(records) * architecture["kv_bytes_per_token"]
    read = architecture["weight_bytes_per_step"] + live
    work = flop(records, architecture)
    return {
        "mbu": read / step / peak.bytes_per_s if step and peak.bytes_per_s else None,
        "mfu": work / window / peak.flop_per_s if window and peak.flop_per_s else None,
        "step_s": step,
        "live_kv_bytes": live,
    }


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def step_s(records: Sequence[Record]) -> float | None:
    """The median over requests of the mean gap between token chunks."""
    gaps = [(r.chunk_at[-1] - r.chunk_at[0]) * NS / (len(r.chunk_at) - 1) for r in records if len(r.chunk_at) > 1]
    return median(gaps) if gaps else None


def live_tokens(records: Sequence[Record]) -> float:
    """Tokens in the KV cache of decoding sequences, averaged over the time in which any decodes."""
    spans = sorted((r.chunk_at[0], r.chunk_at[-1]) for r in records)
    held = sum(
        (r.chunk_at[-1] - r.chunk_at[0]) * ((r.prompt_tokens or 0) + (r.completion_tokens or 0) / 2) for r in records
    )
    covered = end = 0
    for first, last in spans:
        covered += max(0, last - max(first, end))
        end = max(end, last)
    return held / covered if covered else 0.0


def flop(records: Sequence[Record], architecture: Mapping[str, Any]) -> float:
    """2·N for each computed token, and 4·L·H·Q·T for its attention over a context of T."""
    attention: float = 4 * architecture["num_layers"] * architecture["hidden_size"]
    tokens = contexts = 0.0
    for record in records:
        prompt, cached = record.prompt_tokens or 0, record.cached_tokens or 0
        last = prompt + (record.completion_tokens or 0)
        tokens += last - cached
        contexts += (last * (last + 1) - cached * (cached + 1)) / 2
    return 2 * float(architecture["num_parameters"]) * tokens + attention * contexts
