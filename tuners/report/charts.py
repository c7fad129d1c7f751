"""The charts of a study's page, as Plotly's data and layout, without the colours of the page's theme.

Parallel coordinates are drawn with plain lines. Plotly's own kind needs WebGL and code that is generated at run time,
which the viewer's content security policy forbids.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentbench.report import figures
from agentbench.report.html import Chart
from agentbench.report.terminal_safe import line
from tuners.report.effects import Effect
from tuners.report.words import changes, shown_value
from tuners.search.candidate import BASELINE, Candidate

FIGURES_AT = "the table of candidates has the figures"
COLOURS = {"finished": "#2563c9", "dropped": "#8a96a6", "broken": "#c0262d", "out of budget": "#8a6d00"}
WINNER, FRONT = "#d9620f", "#16855b"


def front_chart(
    candidates: Sequence[Candidate], front: Sequence[int], winner: int | None, metric: str, unit: str
) -> Chart:
    """Quality against the other objective: the front is a line, a candidate beyond a limit is a cross."""
    measured = [each for each in candidates if each.scores and metric in each.figures]
    on_front = sorted((each for each in measured if each.number in front), key=lambda each: each.figures[metric])
    rest = [each for each in measured if each.number not in front]
    groups: dict[str, tuple[list[Candidate], dict[str, Any]]] = {
        "others": ([each for each in rest if each.meets], {"color": COLOURS["dropped"], "size": 8, "opacity": 0.6}),
        "beyond a limit": ([each for each in rest if not each.meets], {"color": COLOURS["broken"], "symbol": "x"}),
        "front": (on_front, {"color": FRONT, "size": 11}),
        "baseline": (
            [each for each in measured if each.number == BASELINE],
            {"color": COLOURS["finished"], "symbol": "square", "size": 12},
        ),
        "winner": (
            [each for each in measured if each.number == winner],
            {"color": WINNER, "symbol": "star", "size": 16},
        ),
    }
    data = [_points(name, chosen, metric, marker) for name, (chosen, marker) in groups.items() if chosen]
    for trace in data:
        if trace["name"] == "front":
            trace |= {"mode": "lines+markers", "line": {"color": FRONT, "shape": "vh", "dash": "dot"}}
    layout = {
        "xaxis": {"title": {"text": unit}},
        "yaxis": _quality_axis(),
        "annotations": _model_names(on_front, metric),
    }
    return Chart(caption=f"Pareto front: quality against {metric}", data=data, layout=layout, figures_at=FIGURES_AT)


def _model_names(front: Sequence[Candidate], metric: str) -> list[dict[str, Any]]:
    """The model's name beside each place where the front goes over to another model."""
    named = [(each, str(each.settings["serving.model"])) for each in front if "serving.model" in each.settings]
    return [
        {
            **{"x": each.figures[metric], "y": each.quality, "text": _safe(line(name)[:NAME])},
            **{"showarrow": False, "yshift": 14, "font": {"size": 11}},
            "xanchor": "right" if each is front[-1] else "left",
        }
        for at, (each, name) in enumerate(named)
        if at == 0 or named[at - 1][1] != name
    ]


def _points(name: str, chosen: Sequence[Candidate], metric: str, marker: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [each.figures[metric] for each in chosen],
        "y": [each.quality for each in chosen],
        "text": [hover(each) for each in chosen],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
    }


def hover(candidate: Candidate) -> str:
    """The candidate's number, quality and changes, for a tooltip; without markup, which Plotly would interpret."""
    text = f"{candidate.number}: {figures.percent(candidate.quality)}, {changes(candidate.settings)}"
    return _safe(line(text))[:300]


def _quality_axis() -> dict[str, Any]:
    return {"title": {"text": "quality on train"}, "tickformat": ".0%"}


def effects_chart(effects: Mapping[str, Effect]) -> Chart:
    """Each parameter's effect on quality, with its 95 % interval."""
    rows = list(effects.items())[::-1]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [each.difference for _, each in rows],
        "y": [path for path, _ in rows],
        "error_x": {"type": "data", "array": [each.margin for _, each in rows], "color": COLOURS["dropped"]},
        "text": [_safe(line(f"{each.best} over {each.worst}")) for _, each in rows],
        "marker": {"color": COLOURS["finished"]},
        "hovertemplate": "%{y}: %{x:.1%}, %{text}<extra></extra>",
    }
    axis = {"tickformat": ".0%", "title": {"text": "quality under the best value − under the worst, fitted"}}
    layout = {"xaxis": axis, "yaxis": {"automargin": True}, "height": 120 + 28 * len(rows)}
    return Chart(caption="What quality depends on", data=[bars], layout=layout)


def spending_chart(candidates: Sequence[Candidate], ended: Mapping[int, datetime], begun: datetime) -> Chart:
    """Each candidate's quality at the case-runs after which it ended, and the best quality so far within the limits.

    `ended` is the time at which each candidate ended, by number; `begun` is the start of the study.
    """
    order = sorted((each for each in candidates if each.number in ended), key=lambda each: ended[each.number])
    spent, total = {}, 0
    for each in order:
        total += each.case_runs
        spent[each.number] = total
    data = [_ends(end, [each for each in order if each.end == end and each.scores], spent) for end in COLOURS]
    best, steps = 0.0, []
    for each in order:
        best = max(best, each.quality if each.feasible else 0.0)
        steps.append((spent[each.number], best, (ended[each.number] - begun).total_seconds() / 60))
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": [step[0] for step in steps],
            "y": [step[1] for step in steps],
            "text": [f"{step[2]:.1f} min" for step in steps],
            "hovertemplate": "%{y:.1%} after %{x} case-runs, %{text}<extra></extra>",
            "line": {"shape": "hv", "color": FRONT},
        }
    )
    return Chart(
        caption="Quality by case-runs spent",
        data=[trace for trace in data if trace["x"]],
        layout={"xaxis": {"title": {"text": "case-runs"}}, "yaxis": _quality_axis()},
        figures_at=FIGURES_AT,
    )


def _ends(end: str, chosen: Sequence[Candidate], spent: Mapping[int, int]) -> dict[str, Any]:
    symbols = {"finished": "circle", "dropped": "triangle-down", "broken": "x", "out of budget": "diamond"}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": end,
        "x": [spent[each.number] for each in chosen],
        "y": [each.quality for each in chosen],
        "text": [hover(each) for each in chosen],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": COLOURS[end], "symbol": symbols[end], "size": 9},
    }


FIFTHS = ("#9aa5b4", "#79a1dd", "#2563c9", "#7a5bd0", "#d9620f")
"""Colours of the five equal groups of candidates, from the lowest quality to the highest."""

TICKS = 24
"""Most characters of a value's label on an axis."""

NAME = 40
"""Most characters of a model's name beside the front."""

SPREAD = 0.03
"""Most distance of lines with the same value, as a share of the axis, so that they can be distinguished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """An axis: `places` are where the candidates' lines cross it, from 0 to 1; `texts` are their values; `ticks` are
    labelled places.
    """

    label: str
    places: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    texts: tuple[str, ...]


def parallel_chart(candidates: Sequence[Candidate], paths: Sequence[str]) -> Chart:
    """A line for each candidate with scores; it crosses the axis of a parameter that it does not set at “—”."""
    ranked = sorted((each for each in candidates if each.scores), key=lambda each: each.quality)
    dimensions = [_dimension(path, [each.settings.get(path, "—") for each in ranked]) for path in paths]
    dimensions.append(_quality([each.quality for each in ranked]))
    groups = _fifths(len(ranked))
    data = [_lines(ranked, dimensions, group, colour) for group, colour in zip(groups, FIFTHS, strict=True) if group]
    layout = {
        "height": 440,
        "margin": {"t": 30, "l": 40, "r": 60, "b": 60},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"tickvals": list(range(len(dimensions))), "ticktext": [each.label for each in dimensions]},
        "yaxis": {"visible": False, "range": [-0.08, 1.08]},
        "annotations": [_label(at, place, text) for at, each in enumerate(dimensions) for place, text in each.ticks],
    }
    caption = "Parameters and quality, from the lowest (grey) to the highest (orange)"
    return Chart(caption=caption, data=data, layout=layout, figures_at=FIGURES_AT, wide=True)


def _fifths(count: int) -> list[range]:
    ends = [round(count * part / len(FIFTHS)) for part in range(len(FIFTHS) + 1)]
    return [range(begin, end) for begin, end in itertools.pairwise(ends)]


def _dimension(path: str, values: Sequence[Any]) -> Dimension:
    label = path.removeprefix("agent.").removeprefix("serving.")
    texts = tuple(line(shown_value(value, TICKS, path)) for value in values)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = min(values), max(values)
        span = (high - low) or 1
        names = {shown_value(value, TICKS): (value - low) / span for value in (low, high, *sorted(set(values))[:6])}
        return Dimension(
            label=label, places=_spread([(v - low) / span for v in values]), ticks=_ticks(names), texts=texts
        )
    order = sorted(set(texts))
    at = {name: place / max(1, len(order) - 1) for place, name in enumerate(order)}
    return Dimension(label=label, places=_spread([at[name] for name in texts]), ticks=_ticks(at), texts=texts)


def _quality(values: Sequence[float]) -> Dimension:
    low, high = min(values), max(values)
    span = (high - low) or 1
    ticks = tuple((place, figures.percent(low + place * span)) for place in (0.0, 0.5, 1.0))
    texts = tuple(map(figures.percent, values))
    return Dimension(label="quality", places=tuple((v - low) / span for v in values), ticks=ticks, texts=texts)


def _ticks(places: "dict[str, float]") -> tuple[tuple[float, str], ...]:
    return tuple((place, line(name)) for name, place in places.items())


def _spread(places: Sequence[float]) -> tuple[float, ...]:
    """The places, with equal ones moved apart a little; the same candidates always have the same places."""
    count: dict[float, int] = {}
    found = []
    for place in places:
        number = count[place] = count.get(place, 0) + 1
        found.append(place + SPREAD * ((number * 0.618034) % 1 - 0.5))
    return tuple(found)


def _lines(ranked: Sequence[Candidate], dimensions: Sequence[Dimension], group: range, colour: str) -> dict[str, Any]:
    """The lines of a group of candidates as one Plotly trace, with gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for place in group:
        for at, each in enumerate(dimensions):
            x.append(at)
            y.append(each.places[place])
            texts.append(_safe(f"{ranked[place].number}: {each.label} {each.texts[place]}"))
        x.append(None)
        y.append(None)
        texts.append("")
    style = {"color": colour, "width": 1.5}
    kind = {"type": "scatter", "mode": "lines+markers", "marker": {"size": 4, "color": colour}, "line": style}
    return {**kind, "x": x, "y": y, "hovertext": texts, "hoverinfo": "text", "opacity": 0.75}


def _label(at: int, place: float, text: str) -> dict[str, Any]:
    where = {"x": at, "y": place, "xanchor": "left", "xshift": 6, "showarrow": False}
    return {**where, "text": _safe(text), "font": {"size": 11}}


def _safe(text: str) -> str:
    return text.replace("<", "‹").replace(">", "›")
