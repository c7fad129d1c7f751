"""The roofline of a benchmark: what its steps could reach at their arithmetic intensity, and what they did.

Williams, Waterman & Patterson 2009: FLOP/s ≤ min(peak FLOP/s, intensity · peak bytes/s). Left of the ridge, where both
are equal, memory bounds; right of it arithmetic does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentbench.report import figures
from agentbench.report.html_file import text
from agentbench.report.load_page_chart import Series, line_chart

Json = Mapping[str, Any]
ROOF = 5
"""Colour of the roof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Decoding at a load, or prefill of one prompt: FLOP for a byte read, and FLOP per second."""

    side: str
    kind: str
    label: str
    intensity: float
    flop_per_s: float


def roofline(document: Json) -> str:
    """Chart and words as HTML; empty where the peak or the model's dimensions are not known."""
    peak = document.get("peak") or {}
    bandwidth, flop = peak.get("bytes_per_s"), peak.get("flop_per_s")
    found = list(_work(document))
    if not bandwidth or not flop or not found:
        return ""
    ridge = flop / bandwidth
    spans = [ridge, *(each.intensity for each in found)]
    ends = (min(spans) / 2, ridge, max(spans) * 2)
    roof = tuple((x, min(flop, x * bandwidth), "roof") for x in ends)
    series = [Series(name="roof", points=roof, colour=ROOF, dashed=True)]
    names = list(dict.fromkeys((each.side, each.kind) for each in found))
    for place, (side, kind) in enumerate(names):
        points = tuple((w.intensity, w.flop_per_s, w.label) for w in found if (w.side, w.kind) == (side, kind))
        series.append(Series(name=f"{side}, {kind}", points=points, colour=place % ROOF))
    chart = line_chart(series, x_title="FLOP for a byte read", x_form=_plain, y_form=_giga, logarithmic=True)
    legend = "".join(
        f'<span><i class="c{place % ROOF}"></i>{text(f"{side}, {kind}")}</span>'
        for place, (side, kind) in enumerate(names)
    )
    said = "".join(f"<li>{text(_said(each, ridge))}</li>" for each in found)
    return (
        f'<h3>Roofline</h3><div class="legend">{legend}<span class="key">dashed: the most that can be had</span></div>'
        f"<figure><figcaption>FLOP/s against arithmetic intensity; the ridge is at {ridge:.3g} FLOP/byte</figcaption>"
        f"{chart}</figure><ul>{said}</ul>"
    )


def _said(work: Work, ridge: float) -> str:
    bound = "compute-bound" if work.intensity > ridge else "memory-bound"
    return f"{work.side}, {work.kind} ({work.label}): {work.intensity:.3g} FLOP/byte, {_giga(work.flop_per_s)}: {bound}"


def _work(document: Json) -> Iterator[Work]:
    cards = {side["name"]: (side.get("card") or {}).get("architecture") or {} for side in document["sides"]}
    for point in document["points"]:
        for name, side in point["sides"].items():
            card = cards.get(name, {})
            if all(card.get(key) for key in ("num_parameters", "weight_bytes_per_step", "kv_bytes_per_token")):
                yield from _of_point(name, point["load"], side["figures"], card)


def _of_point(name: str, load: Json, found: Json, card: Json) -> Iterator[Work]:
    """Decoding, by the tokens that a step gives (Little: rate · step time), at 2·N FLOP each; prefill where one
    client alone asks, so that the time to the first token has no queueing in it."""
    each, weights = 2.0 * card["num_parameters"], card["weight_bytes_per_step"]
    step, rate = found.get("step_s"), found.get("output_tokens_per_s")
    if step and rate:
        flop = each * max(1.0, rate * step)
        read = weights + (found.get("live_kv_bytes") or 0.0)
        yield Work(side=name, kind="decode", label=load["label"], intensity=flop / read, flop_per_s=flop / step)
    first, answered = found.get("ttft_p50_s"), found.get("answered")
    if load.get("concurrency") == 1 and first and answered and found.get("prompt_tokens"):
        tokens = (found["prompt_tokens"] - (found.get("cached_tokens") or 0)) / answered
        flop = each * tokens
        read = weights + tokens * card["kv_bytes_per_token"]
        label = f"{tokens:.0f} tokens"
        yield Work(side=name, kind="prefill", label=label, intensity=flop / read, flop_per_s=flop / first)


def _plain(value: float) -> str:
    return f"{value:g}"


def _giga(value: float) -> str:
    return f"{figures.rate(value / 1e9)} GFLOP/s"
