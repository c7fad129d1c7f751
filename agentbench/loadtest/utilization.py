"""MBU and MFU: how much of the machine's bandwidth and arithmetic the served model used."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from agentbench.loadtest.metrics import end_to_end, measured, window_s
from agentbench.loadtest.record import Record
from agentbench.loadtest.roofline import Peak
from agentbench.stats.calls import NS

NEEDED = ("num_parameters", "weight_bytes_per_step", "kv_bytes_per_token", "num_layers", "hidden_size")


def utilization(
    rounds: Sequence[Sequence[Record]], architecture: Mapping[str, Any] | None, peak: Peak | None
) -> dict[str, float | None]:
    """`mbu` and `mfu` as fractions, and what they are made of; None where the card or the peak is not known.

    MBU = (parameter bytes of a step + KV bytes of all live sequences) / step time / peak bandwidth, with the
    median over requests of the mean gap between chunks as step time: TPOT, where a step gives one token.
    MFU = Σ over computed tokens of (2·N + 4·L·H·Q·T) / window / peak FLOP/s, H·Q the hidden size and T the
    token's own context; prompt tokens from the cache are not computed.
    Both are None where the server did not count the tokens of every answer.
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
    """2·N for each token computed, and 4·L·H·Q·T for its attention over a context of T."""
    attention: float = 4 * architecture["num_layers"] * architecture["hidden_size"]
    tokens = contexts = 0.0
    for record in records:
        prompt, cached = record.prompt_tokens or 0, record.cached_tokens or 0
        last = prompt + (record.completion_tokens or 0)
        tokens += last - cached
        contexts += (last * (last + 1) - cached * (cached + 1)) / 2
    return 2 * float(architecture["num_parameters"]) * tokens + attention * contexts
