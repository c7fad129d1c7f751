"""The charts of a benchmark as inline SVG, and its roofline: what its steps could reach, and what they did.

The roofline is that of Williams, Waterman & Patterson 2009: FLOP/s ≤ min(peak FLOP/s, intensity · peak bytes/s). Left
of the ridge, where both are equal, memory bounds; right of it arithmetic does.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from agentbench.report import figures
from agentbench.report.html import text

WIDTH, HEIGHT = 560, 330
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 14, 46
LOG_SPAN = 40
"""Values that span more than this factor are drawn on a logarithmic axis."""
COLOURS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A line: (x, y, what its point is called). `colour` is one of the page's; p95 and the like are `dashed`."""

    name: str
    points: tuple[tuple[float, float, str], ...]
    colour: int
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values from `low` to `high` onto pixels from `begin` to `end`."""

    low: float
    high: float
    begin: float
    end: float
    log: bool
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        low, high, value = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return self.begin + (self.end - self.begin) * (value - low) / (high - low or 1)


Form = Callable[[float], str]


def line_chart(
    series: Sequence[Series],
    *,
    x_title: str,
    x_form: Form,
    y_form: Form,
    doubling: bool = False,
    logarithmic: bool = False,
) -> str:
    """`doubling` puts x on a logarithmic axis with its own values as ticks, as loads of a sweep are; `logarithmic` puts
    both on axes of powers of ten."""
    points = [point for each in series for point in each.points]
    if not points:
        return '<p class="none">No value was measured.</p>'
    span = 1 if logarithmic else LOG_SPAN
    x = _load_axis([p[0] for p in points]) if doubling else _axis([p[0] for p in points], LEFT, WIDTH - RIGHT, span)
    y = _axis([p[1] for p in points], HEIGHT - BOTTOM, TOP, span)
    parts = [_grid(x, y, x_title, x_form, y_form), *(_line(each, x, y, x_form, y_form) for each in series)]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _axis(values: Sequence[float], begin: float, end: float, span: float) -> Axis:
    low, high = min(values), max(values)
    if low > 0 and high / low > span:
        ticks = tuple(10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1))
        return Axis(ticks[0], ticks[-1], begin, end, True, ticks)
    step = _step(high or 1)
    count = math.ceil((high or 1) / step - 1e-9)
    return Axis(0, step * count, begin, end, False, tuple(step * index for index in range(count + 1)))


def _load_axis(values: Sequence[float]) -> Axis:
    ticks = tuple(sorted(set(values)))
    low, high = (ticks[0] / 2, ticks[0] * 2) if len(ticks) == 1 else (ticks[0], ticks[-1])
    return Axis(low, high, LEFT + 14, WIDTH - RIGHT - 14, True, ticks)


def _step(high: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that makes four to eight of them."""
    power = 10.0 ** math.floor(math.log10(high / 4))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * 8 >= high)


def _grid(x: Axis, y: Axis, x_title: str, x_form: Form, y_form: Form) -> str:
    rows = [
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y.at(v):.1f}" y2="{y.at(v):.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y.at(v) + 4:.1f}" text-anchor="end">{escape(y_form(v))}</text>'
        for v in y.ticks
    ]
    columns = [
        f'<text class="tick" x="{x.at(v):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
        f"{escape(x_form(v))}</text>"
        for v in _spaced(x)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    title = f'<text class="tick" x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>'
    return "".join([*rows, *columns, title])


def _spaced(axis: Axis, least: float = 34) -> list[float]:
    """The ticks that do not run into the one before."""
    kept: list[float] = []
    for value in axis.ticks:
        if not kept or axis.at(value) - axis.at(kept[-1]) >= least:
            kept.append(value)
    return kept


def _line(series: Series, x: Axis, y: Axis, x_form: Form, y_form: Form) -> str:
    placed = [(x.at(a), y.at(b), a, b, label) for a, b, label in series.points]
    style = f"c{series.colour % COLOURS}{' dashed' if series.dashed else ''}"
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py, *_ in placed)
    dots = "".join(
        f'<circle class="{style}" cx="{px:.1f}" cy="{py:.1f}" r="{2.5 if series.dashed else 4}">'
        f"<title>{escape(f'{series.name}, {label}: {y_form(b)} at {x_form(a)}')}</title></circle>"
        for px, py, a, b, label in placed
    )
    return f'<polyline class="{style}" points="{path}"/>{dots}'


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
