"""The charts of several runs: accuracy with its interval against goodput and TTFT, with the Pareto front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from agentbench.report import figures
from agentbench.report.compare.view import FRONTS, RunsView, front
from agentbench.report.html import COLOURS, Chart, chart_text
from agentbench.report.run.view import RunView

LETTERS = "ABCDEFGH"
LONGEST_NAME = 40
"""Characters of a run's name on a chart; the table has the whole name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The horizontal axis of a chart: its name in the caption, its unit, and the form of its values."""

    name: str
    unit: str
    form: Callable[[float | None], str]


AXES = {
    "agent_goodput_per_s": Axis(name="goodput", unit="right answers a second", form=figures.rate),
    "ttft_p95_s": Axis(name="TTFT", unit="TTFT p95, seconds", form=figures.seconds),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A run on a chart: `x` is the chart's metric, `y` the accuracy, `low` to `high` its interval (`y` where it has
    none)."""

    place: int
    run: RunView
    x: float
    y: float
    low: float
    high: float
    on_front: bool

    @property
    def name(self) -> str:
        title = chart_text(self.run.title)
        return f"{LETTERS[self.place]} {title if len(title) <= LONGEST_NAME else title[:LONGEST_NAME] + '…'}"


def runs_charts(view: RunsView) -> dict[str, Chart]:
    """A chart for each metric in `FRONTS` that at least two runs have beside an accuracy."""
    points = {metric: _points(view, metric) for metric in AXES}
    return {
        f"pareto_{AXES[metric].name.lower()}": _chart(view, metric, found)
        for metric, found in points.items()
        if len(found) >= 2
    }


def _points(view: RunsView, metric: str) -> list[Point]:
    best = front(view.runs, metric)
    return [
        _point(place, run, getattr(run.serving, metric), run.run.id in best)
        for place, run in enumerate(view.runs)
        if run.accuracy is not None and getattr(run.serving, metric) is not None
    ]


def _point(place: int, run: RunView, x: float, on_front: bool) -> Point:
    found = run.accuracy
    assert found is not None
    low, high = (found.value if bound is None else bound for bound in (found.low, found.high))
    return Point(place=place, run=run, x=x, y=found.value, low=low, high=high, on_front=on_front)


def _chart(view: RunsView, metric: str, points: Sequence[Point]) -> Chart:
    axis = AXES[metric]
    limits = chart_text(figures.limits(view.objectives or {})) if metric == "agent_goodput_per_s" else ""
    unit = f"{axis.unit}<br>with {limits}" if limits else axis.unit
    layout = {
        "height": 360,
        "margin": {"t": 12, "b": 70},
        "xaxis": {"title": {"text": unit}, "range": _across(points)},
        "yaxis": {"title": {"text": "accuracy, 95 % interval"}, "tickformat": ".0%", "range": _upwards(points)},
        "showlegend": False,
    }
    corners = _front(points, metric)
    places = label_places(points, corners)
    data = [_steps(corners), *(_mark(each, axis, places[each.place]) for each in points)]
    caption = f"Quality against {axis.name}; the dotted line is the Pareto front, and filled points are on it"
    return Chart(caption=caption, data=data, layout=layout, figures_at="the table has the figures")


def _across(points: Sequence[Point]) -> list[float]:
    """The range of the horizontal axis. It starts left of 0, so that a point at 0 is clear of the axis."""
    most = max(each.x for each in points) or 1.0
    return [-0.05 * most, 1.08 * most]


def _upwards(points: Sequence[Point]) -> list[float]:
    low, high = min(each.low for each in points), max(each.high for each in points)
    space = 0.08 * (high - low or 1.0)
    return [low - space, high + space]


Corner = tuple[float, float]


def _front(points: Sequence[Point], metric: str) -> list[Corner]:
    """The corners of the front, from border to border of what it dominates, each step drawn."""
    steps = sorted((each.x, each.y) for each in points if each.on_front)
    left, right = _across(points)
    bottom = _upwards(points)[0]
    if FRONTS[metric] > 0:
        turns = [(before[0], after[1]) for before, after in pairwise(steps)]
        ends = (left, steps[0][1]), (steps[-1][0], bottom)
    else:
        turns = [(after[0], before[1]) for before, after in pairwise(steps)]
        ends = (steps[0][0], bottom), (right, steps[-1][1])
    between = [corner for pair in zip(steps, turns, strict=False) for corner in pair]
    return [ends[0], *between, steps[-1], ends[1]]


def _steps(corners: Sequence[Corner]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in corners],
        "y": [y for _, y in corners],
        "line": {"color": "#16855b", "dash": "dot"},
        "hoverinfo": "skip",
    }


def _mark(point: Point, axis: Axis, text_position: str) -> dict[str, Any]:
    colour = COLOURS[point.place % len(COLOURS)]
    around = figures.interval(point.run.accuracy)
    shown = f"{figures.percent(point.y)}{f' ({around})' if around else ''}, {axis.form(point.x)}"
    bars = {"type": "data", "symmetric": False, "thickness": 1.5, "width": 5, "color": colour}
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [point.x],
        "y": [point.y],
        "error_y": {**bars, "array": [point.high - point.y], "arrayminus": [point.y - point.low]},
        "text": [point.name],
        "textposition": text_position,
        "hovertext": [chart_text(f"{LETTERS[point.place]} {point.run.title}: {shown}")],
        "hoverinfo": "text",
        "cliponaxis": False,
        "marker": {
            "color": colour,
            "size": 13,
            "symbol": "circle" if point.on_front else "circle-open",
            "line": {"width": 2, "color": colour},
        },
    }


Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in pixels of a plot."""

PLOT = (720.0, 280.0)
"""A plot's width and height in pixels on a page of 900."""

CHARACTER, LINE, GAP = 6.6, 16.0, 10.0
"""Width and height of a character, and the distance of a name from its point, in pixels."""


def label_places(points: Sequence[Point], corners: Sequence[Corner]) -> dict[int, str]:
    """Where each run's name stands, as Plotly's `textposition` by place: where it covers least of the other points,
    their intervals, the front, and the names before it."""
    frame = _Frame(points)
    taken = [box for each in points for box in frame.drawn(each)]
    taken += [frame.line(a, b) for a, b in pairwise(corners)]
    places: dict[int, str] = {}
    for each in points:
        boxes = _name_boxes(*frame.pixels((each.x, each.y)), CHARACTER * len(each.name))
        places[each.place] = min(boxes, key=lambda where: _covered(boxes[where], taken))
        taken.append(boxes[places[each.place]])
    return places


class _Frame:
    """A plot in pixels."""

    def __init__(self, points: Sequence[Point]) -> None:
        (self.left, self.right), (self.bottom, self.top) = _across(points), _upwards(points)

    def pixels(self, corner: Corner) -> tuple[float, float]:
        across = (corner[0] - self.left) / (self.right - self.left)
        return across * PLOT[0], (corner[1] - self.bottom) / (self.top - self.bottom) * PLOT[1]

    def drawn(self, point: Point) -> tuple[Box, Box]:
        """The boxes of a point and of its interval."""
        x, y = self.pixels((point.x, point.y))
        return (x - 7, y - 7, x + 7, y + 7), self.line((point.x, point.low), (point.x, point.high))

    def line(self, a: Corner, b: Corner) -> Box:
        """The box of a line along an axis."""
        (x, y), (other_x, other_y) = self.pixels(a), self.pixels(b)
        return min(x, other_x) - 2, min(y, other_y) - 2, max(x, other_x) + 2, max(y, other_y) + 2


def _name_boxes(x: float, y: float, length: float) -> dict[str, Box]:
    """The boxes in which the name of a point at (x, y) may stand, by `textposition`."""
    rows = {"middle": y - LINE / 2, "top": y + GAP, "bottom": y - GAP - LINE}
    boxes = {}
    for row, bottom in rows.items():
        aside = GAP if row == "middle" else 4.0
        boxes[f"{row} right"] = (x + aside, bottom, x + aside + length, bottom + LINE)
        boxes[f"{row} left"] = (x - aside - length, bottom, x - aside, bottom + LINE)
    return boxes


def _covered(box: Box, taken: Sequence[Box]) -> float:
    """The area that the box shares with those that are taken and with the outside of the plot."""
    inside = _shared(box, (0.0, 0.0, *PLOT))
    outside = (box[2] - box[0]) * (box[3] - box[1]) - inside
    return outside + sum(_shared(box, other) for other in taken)


def _shared(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)
