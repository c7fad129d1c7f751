"""The charts of a benchmark: line charts of its metrics over the loads, and its roofline.

The roofline is that of Williams, Waterman & Patterson 2009: FLOP/s ≤ min(peak FLOP/s, intensity · peak bytes/s). Both
bounds are equal at the ridge. Left of it a computation is memory-bound, right of it compute-bound.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentbench.report import figures
from agentbench.report.html import COLOURS, Chart, chart_text

Json = Mapping[str, Any]
LOG_SPAN = 40
"""An axis is logarithmic if the largest value exceeds the smallest by more than this factor."""
ROOF = 5
"""Index in `COLOURS` of the roof's colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis' title and tick format, and `form`, which formats a value in a point's hover text."""

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
    """A line of points (x, y, label). `colour` is an index in `COLOURS`. A p95 is drawn `dashed`."""

    name: str
    points: tuple[tuple[float, float, str], ...]
    colour: int
    dashed: bool = False


def line_chart(caption: str, series: Sequence[Series], x: Axis, y: Axis, *, loads: Sequence[float] = ()) -> Chart:
    """A line chart. With `loads`, the x axis is logarithmic and the loads are its ticks."""
    data = [_line(each, x, y) for each in series if each.points]
    points = [point for each in series for point in each.points]
    across = _scale(x, [point[0] for point in points])
    if loads:
        ticks = sorted(set(loads))
        across = {"type": "log", "tickvals": ticks, "ticktext": [plain(load) for load in ticks]}
    layout = {
        "height": 330,
        "margin": {"t": 12, "b": 60},
        "xaxis": {**across, "title": {"text": x.title}},
        "yaxis": {**_scale(y, [point[1] for point in points]), "title": {"text": y.title}},
        "showlegend": False,
    }
    return Chart(caption=caption, data=data, layout=layout, figures_at="the table has the figures")


def _scale(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """A linear scale from 0; a logarithmic one for a logarithmic axis or values that span more than `LOG_SPAN`."""
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
    """Decoding at a load, or the prefill of one prompt: `intensity` in FLOP per byte read, and FLOP per second."""

    side: str
    kind: str
    label: str
    intensity: float
    flop_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """`names` is the legend: (colour, name). `bounds` has a sentence for each point: is it compute- or memory-bound?"""

    chart: Chart
    names: tuple[tuple[int, str], ...]
    bounds: tuple[str, ...]


def roofline(document: Json) -> Roofline | None:
    """The roofline of a benchmark; None where the machine's peak or the model's dimensions are unknown."""
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
    x = Axis(title="FLOP per byte read", form=lambda value: f"{value:.3g}", logarithmic=True)
    y = Axis(title="GFLOP/s", form=lambda value: f"{figures.rate(value)} GFLOP/s", logarithmic=True)
    caption = f"FLOP/s against arithmetic intensity; the ridge is at {ridge:.3g} FLOP/byte"
    return Roofline(
        chart=line_chart(caption, series, x, y),
        names=tuple((place % ROOF, f"{side}, {kind}") for place, (side, kind) in enumerate(kinds)),
        bounds=tuple(_bound(each, ridge) for each in found),
    )


def _bound(found: Work, ridge: float) -> str:
    bound = "compute-bound" if found.intensity > ridge else "memory-bound"
    reached = f"{found.intensity:.3g} FLOP/byte, {figures.rate(found.flop_per_s / 1e9)} GFLOP/s"
    return f"{found.side}, {found.kind} ({found.label}): {reached}: {bound}"


def work(document: Json) -> Iterator[Work]:
    """The decode and prefill work of each load and side whose model dimensions are known."""
    cards = {side["name"]: (side.get("card") or {}).get("architecture") or {} for side in document["sides"]}
    for point in document["points"]:
        for name, side in point["sides"].items():
            card = cards.get(name, {})
            if all(card.get(key) for key in ("num_parameters", "weight_bytes_per_step", "kv_bytes_per_token")):
                yield from _work_at(name, point["load"], side["figures"], card)


def _work_at(name: str, load: Json, found: Json, card: Json) -> Iterator[Work]:
    """Decoding: a step gives rate · step time tokens (Little's law), at 2·N FLOP each. Prefill: only with one client,
    where the time to the first token includes no queueing."""
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
