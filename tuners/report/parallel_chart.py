"""Parallel coordinates of a study: a line for each candidate through its values and its quality.

Of plain lines, where Plotly's own kind needs WebGL and code made at run time, which the viewer's policy forbids.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentbench.report import figures
from agentbench.report.chart_page import Chart
from agentbench.report.plain import line
from tuners.report.words import shown_value
from tuners.search.candidate import Candidate

FIFTHS = ("#9aa5b4", "#79a1dd", "#2563c9", "#7a5bd0", "#d9620f")
"""From the fifth of the candidates with the lowest quality to that with the highest."""

TICKS = 24
"""Longest label of a value on an axis, in characters."""

SPREAD = 0.03
"""How far lines of one value lie apart at most, as a share of the axis, so that they can be told from each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """An axis: where each candidate crosses it, from 0 to 1, and the labels of its places."""

    label: str
    places: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    told: tuple[str, ...]


def parallel_chart(candidates: Sequence[Candidate], paths: Sequence[str]) -> Chart:
    """A line for each candidate that has scores; a parameter that it leaves alone is at “—”."""
    known = sorted((each for each in candidates if each.scores), key=lambda each: each.quality)
    dimensions = [_dimension(path, [each.settings.get(path, "—") for each in known]) for path in paths]
    dimensions.append(_quality([each.quality for each in known]))
    groups = _parted(len(known))
    data = [_lines(known, dimensions, group, colour) for group, colour in zip(groups, FIFTHS, strict=True) if group]
    layout = {
        "height": 440,
        "margin": {"t": 30, "l": 40, "r": 60, "b": 60},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"tickvals": list(range(len(dimensions))), "ticktext": [each.label for each in dimensions]},
        "yaxis": {"visible": False, "range": [-0.08, 1.08]},
        "annotations": [_label(at, place, said) for at, each in enumerate(dimensions) for place, said in each.ticks],
    }
    caption = "Parameters and quality, from the lowest (grey) to the highest (orange)"
    return Chart(caption=caption, data=data, layout=layout, told="the table of candidates has the figures", wide=True)


def _parted(count: int) -> list[range]:
    ends = [round(count * part / len(FIFTHS)) for part in range(len(FIFTHS) + 1)]
    return [range(begin, end) for begin, end in itertools.pairwise(ends)]


def _dimension(path: str, values: Sequence[Any]) -> Dimension:
    label = path.removeprefix("agent.").removeprefix("serving.")
    told = tuple(line(shown_value(value, TICKS, path)) for value in values)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = min(values), max(values)
        span = (high - low) or 1
        names = {shown_value(value, TICKS): (value - low) / span for value in (low, high, *sorted(set(values))[:6])}
        return Dimension(
            label=label, places=_spread([(v - low) / span for v in values]), ticks=_ticks(names), told=told
        )
    order = sorted(set(told))
    at = {name: place / max(1, len(order) - 1) for place, name in enumerate(order)}
    return Dimension(label=label, places=_spread([at[name] for name in told]), ticks=_ticks(at), told=told)


def _quality(values: Sequence[float]) -> Dimension:
    low, high = min(values), max(values)
    span = (high - low) or 1
    ticks = tuple((place, figures.percent(low + place * span)) for place in (0.0, 0.5, 1.0))
    told = tuple(map(figures.percent, values))
    return Dimension(label="quality", places=tuple((v - low) / span for v in values), ticks=ticks, told=told)


def _ticks(places: "dict[str, float]") -> tuple[tuple[float, str], ...]:
    return tuple((place, line(name)) for name, place in places.items())


def _spread(places: Sequence[float]) -> tuple[float, ...]:
    """Each a little beside the others of its place, in their order, so that the same candidates always lie alike."""
    count: dict[float, int] = {}
    found = []
    for place in places:
        number = count[place] = count.get(place, 0) + 1
        found.append(place + SPREAD * ((number * 0.618034) % 1 - 0.5))
    return tuple(found)


def _lines(known: Sequence[Candidate], dimensions: Sequence[Dimension], group: range, colour: str) -> dict[str, Any]:
    """The lines of some candidates as one trace, with gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    said: list[str] = []
    for place in group:
        for at, each in enumerate(dimensions):
            x.append(at)
            y.append(each.places[place])
            said.append(_safe(f"{known[place].number}: {each.label} {each.told[place]}"))
        x.append(None)
        y.append(None)
        said.append("")
    style = {"color": colour, "width": 1.5}
    kind = {"type": "scatter", "mode": "lines+markers", "marker": {"size": 4, "color": colour}, "line": style}
    return {**kind, "x": x, "y": y, "hovertext": said, "hoverinfo": "text", "opacity": 0.75}


def _label(at: int, place: float, said: str) -> dict[str, Any]:
    where = {"x": at, "y": place, "xanchor": "left", "xshift": 6, "showarrow": False}
    return {**where, "text": _safe(said), "font": {"size": 11}}


def _safe(text: str) -> str:
    return text.replace("<", "‹").replace(">", "›")
