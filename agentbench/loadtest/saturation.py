"""Whether a server is saturated: both the time to the first token and the requests in flight grow."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from agentbench.loadtest.metrics import measured
from agentbench.loadtest.outstanding import found_outstanding
from agentbench.loadtest.record import Record
from agentbench.stats.calls import ttft_from_intent_s

if TYPE_CHECKING:
    from agentbench.loadtest.result import PointResult

GROWTH = 1.5
"""Both must grow by this factor."""
GAIN = 1.05
"""Twice the clients that bring less than this factor in throughput bring nothing."""
LEAST = 12
"""Fewer requests show no trend."""


def saturation(point: "PointResult", before: "PointResult | None", side: str) -> str:
    """Why the side is saturated at this point; empty when it is not.

    In an open loop the requests in flight and the TTFT (from intent) grow within the point, from its second
    third to its last: work comes faster than it is done. In a closed loop more requests are in flight than at
    the point before by design: TTFT grew too, and they brought no throughput.
    """
    if not point.load.concurrency:
        return max((_drift(each.records) for each in point.sides[side]), key=len, default="")
    if before is None:
        return ""
    then, now = before.figures(side), point.figures(side)
    keys = ("ttft_p50_s", "output_tokens_per_s", "mean_outstanding")
    if any(not figures[key] for figures in (then, now) for key in keys):
        return ""
    ttft, output, outstanding = (now[key] / then[key] for key in keys)
    if ttft >= GROWTH and outstanding > 1 and output < GAIN:
        return f"TTFT × {ttft:.3g} and outstanding × {outstanding:.3g} for output × {output:.3g}"
    return ""


def _drift(records: Sequence[Record]) -> str:
    wanted = sorted(measured(records), key=lambda record: record.intended_at)
    if len(wanted) < LEAST:
        return ""
    third = len(wanted) // 3
    found = found_outstanding(wanted)
    middle, last = median(found[third : 2 * third]), median(found[2 * third :])
    ttft_middle, ttft_last = _ttft(wanted[third : 2 * third]), _ttft(wanted[2 * third :])
    if ttft_middle is None or ttft_last is None:
        return ""
    if last >= GROWTH * middle + 1 and ttft_last >= GROWTH * ttft_middle:
        return (
            f"outstanding from {middle:g} to {last:g} and TTFT from {ttft_middle:.3g} s to {ttft_last:.3g} s"
            " within the point"
        )
    return ""


def _ttft(records: Sequence[Record]) -> float | None:
    found = [ttft_from_intent_s(record.as_call()) for record in records if record.error is None]
    known = [value for value in found if value is not None]
    return median(known) if known else None
