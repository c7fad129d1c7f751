"""The charts of a benchmark: its figures over the loads, and its roofline: what its steps could reach, what they did.

The roofline is that of Williams, Waterman & Patterson 2009: FLOP/s ≤ min(peak FLOP/s, intensity · peak bytes/s). Left
of the ridge, where both are equal, memory bounds; right of it arithmetic does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentbench.report import figures
from agentbench.report.html import COLOURS, Chart, chart_text

Json = Mapping[str, Any]
LOG_SPAN = 40
"""Values that span more than this factor are drawn on a logarithmic axis."""
ROOF = 5
"""Colour of the roof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What stands on an axis, and how a value of it is written beside its point."""

    title: str
    form: Callable[[float], str]
    ticks: str = ""
    logarithmic: bool = False


def plain(value: float) -> str:
    return f"{value:g}"


SECONDS = Axis(title="seconds", form=figures.seconds)
TOKEN_RATE = Axis(title="output tokens per second", form=figures.rate)
SHARE = Axis(title="share of the peak", form=lambda value: f"{100 * value:.3g} %", ticks=".2~%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A line: (x, y, what its point is called). `colour` is one of the page's; p95 and the like are `dashed`."""

    name: str
    points: tuple[tuple[float, float, str], ...]
    colour: int
    dashed: bool = False


def line_chart(caption: str, series: Sequence[Series], x: Axis, y: Axis, *, loads: Sequence[float] = ()) -> Chart:
    """`loads` are the ticks of x, on a logarithmic axis, as those of a sweep are; without them x is as y is."""
    data = [_line(each, x, y) for each in series if each.points]
    points = [point for each in series for point in each.points]
    across = _sides(x, [point[0] for point in points])
    if loads:
        known = sorted(set(loads))
        across = {"type": "log", "tickvals": known, "ticktext": [plain(load) for load in known]}
    layout = {
        "height": 330,
        "margin": {"t": 12, "b": 60},
        "xaxis": {**across, "title": {"text": x.title}},
        "yaxis": {**_sides(y, [point[1] for point in points]), "title": {"text": y.title}},
        "showlegend": False,
    }
    return Chart(caption=caption, data=data, layout=layout, figures_at="the table has the figures")


def _sides(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """From 0, or by powers of ten where values are far apart."""
    wide = bool(values) and min(values) > 0 and max(values) / min(values) > LOG_SPAN
    scale = {"type": "log", "dtick": 1} if axis.logarithmic or wide else {"rangemode": "tozero"}
    return {**scale, "tickformat": axis.ticks}


def _line(series: Series, x: Axis, y: Axis) -> dict[str, Any]:
    colour = COLOURS[series.colour % len(COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": chart_text(series.name),
        "x": [a for a, _, _ in series.points],
        "y": [b for _, b, _ in series.points],
        "hovertext": [
            chart_text(f"{series.name}, {label}: {y.form(b)} at {x.form(a)}") for a, b, label in series.points
        ],
        "hoverinfo": "text",
        "opacity": 0.65 if series.dashed else 1,
        "line": {"color": colour, "width": 1.5 if series.dashed else 2.5, "dash": "dash" if series.dashed else "solid"},
        "marker": {"color": colour, "size": 5 if series.dashed else 8},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Decoding at a load, or prefill of one prompt: FLOP for a byte read, and FLOP per second."""

    side: str
    kind: str
    label: str
    intensity: float
    flop_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """`names` are what its colours stand for; `said` says of each work what bounds it."""

    chart: Chart
    names: tuple[tuple[int, str], ...]
    said: tuple[str, ...]


def roofline(document: Json) -> Roofline | None:
    """None where the peak or the model's dimensions are not known."""
    peak = document.get("peak") or {}
    bandwidth, flop = peak.get("bytes_per_s"), peak.get("flop_per_s")
    found = list(work(document))
    if not bandwidth or not flop or not found:
        return None
    ridge = flop / bandwidth
    spans = [ridge, *(each.intensity for each in found)]
    ends = (min(spans) / 2, ridge, max(spans) * 2)
    roof = tuple((x, min(flop, x * bandwidth) / 1e9, "roof") for x in ends)
    kinds = list(dict.fromkeys((each.side, each.kind) for each in found))
    series = [Series(name="roof", points=roof, colour=ROOF, dashed=True)]
    for place, (side, kind) in enumerate(kinds):
        points = tuple((w.intensity, w.flop_per_s / 1e9, w.label) for w in found if (w.side, w.kind) == (side, kind))
        series.append(Series(name=f"{side}, {kind}", points=points, colour=place % ROOF))
    x = Axis(title="FLOP for a byte read", form=lambda value: f"{value:.3g}", logarithmic=True)
    y = Axis(title="GFLOP/s", form=lambda value: f"{figures.rate(value)} GFLOP/s", logarithmic=True)
    caption = f"FLOP/s against arithmetic intensity; the ridge is at {ridge:.3g} FLOP/byte"
    return Roofline(
        chart=line_chart(caption, series, x, y),
        names=tuple((place % ROOF, f"{side}, {kind}") for place, (side, kind) in enumerate(kinds)),
        said=tuple(_said(each, ridge) for each in found),
    )


def _said(found: Work, ridge: float) -> str:
    bound = "compute-bound" if found.intensity > ridge else "memory-bound"
    reached = f"{found.intensity:.3g} FLOP/byte, {figures.rate(found.flop_per_s / 1e9)} GFLOP/s"
    return f"{found.side}, {found.kind} ({found.label}): {reached}: {bound}"


def work(document: Json) -> Iterator[Work]:
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
