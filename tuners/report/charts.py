"""The charts of a study's page, as Plotly's JSON: data and layout, without colours of the page's theme."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from agentbench.report import figures
from agentbench.report.chart_page import Chart
from agentbench.report.plain import line
from tuners.report.effects import Effect
from tuners.report.words import changes
from tuners.search.candidate import BASELINE, Candidate

TOLD = "the table of candidates has the figures"
COLOURS = {"finished": "#2563c9", "dropped": "#8a96a6", "broken": "#c0262d", "out of budget": "#8a6d00"}
WINNER, FRONT = "#d9620f", "#16855b"


def front_chart(
    candidates: Sequence[Candidate], front: Sequence[int], winner: int | None, metric: str, unit: str
) -> Chart:
    """Quality against the other objective: the front is a line, what breaks a limit is a cross."""
    known = [each for each in candidates if each.scores and metric in each.figures]
    on_front = sorted((each for each in known if each.number in front), key=lambda each: each.figures[metric])
    rest = [each for each in known if each.number not in front]
    groups: dict[str, tuple[list[Candidate], dict[str, Any]]] = {
        "others": ([each for each in rest if each.meets], {"color": COLOURS["dropped"], "size": 8, "opacity": 0.6}),
        "beyond a limit": ([each for each in rest if not each.meets], {"color": COLOURS["broken"], "symbol": "x"}),
        "front": (on_front, {"color": FRONT, "size": 11}),
        "baseline": (
            [each for each in known if each.number == BASELINE],
            {"color": COLOURS["finished"], "symbol": "square", "size": 12},
        ),
        "winner": ([each for each in known if each.number == winner], {"color": WINNER, "symbol": "star", "size": 16}),
    }
    data = [_points(name, chosen, metric, marker) for name, (chosen, marker) in groups.items() if chosen]
    for trace in data:
        if trace["name"] == "front":
            trace |= {"mode": "lines+markers", "line": {"color": FRONT, "shape": "vh", "dash": "dot"}}
    layout = {"xaxis": {"title": {"text": unit}}, "yaxis": _quality_axis()}
    return Chart(caption=f"Pareto front: quality against {metric}", data=data, layout=layout, told=TOLD)


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
    """Number, quality and what it changes, for a tooltip: Plotly reads some markup, so that none may be left."""
    said = f"{candidate.number}: {figures.percent(candidate.quality)}, {changes(candidate.settings)}"
    return line(said).replace("<", "‹").replace(">", "›")[:300]


def _quality_axis() -> dict[str, Any]:
    return {"title": {"text": "quality on train"}, "tickformat": ".0%"}


def effects_chart(effects: Mapping[str, Effect]) -> Chart:
    """Each parameter's effect on quality with its interval of 95 %."""
    rows = list(effects.items())[::-1]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [each.difference for _, each in rows],
        "y": [path for path, _ in rows],
        "error_x": {"type": "data", "array": [each.margin for _, each in rows], "color": COLOURS["dropped"]},
        "text": [line(f"{each.best} over {each.worst}").replace("<", "‹").replace(">", "›") for _, each in rows],
        "marker": {"color": COLOURS["finished"]},
        "hovertemplate": "%{y}: %{x:.1%}, %{text}<extra></extra>",
    }
    axis = {"tickformat": ".0%", "title": {"text": "quality under its best value less that under its worst, fitted"}}
    layout = {"xaxis": axis, "yaxis": {"automargin": True}, "height": 120 + 28 * len(rows)}
    return Chart(caption="What quality depends on", data=[bars], layout=layout)


def spending_chart(candidates: Sequence[Candidate], ended: Mapping[int, datetime], begun: datetime) -> Chart:
    """Each candidate at the case-runs and minutes after which it ended, and the best quality that met the limits."""
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
        caption="What was spent, and the best that it had found",
        data=[trace for trace in data if trace["x"]],
        layout={"xaxis": {"title": {"text": "case-runs"}}, "yaxis": _quality_axis()},
        told=TOLD,
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
