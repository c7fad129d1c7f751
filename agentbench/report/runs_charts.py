"""The charts of several runs: quality against latency and goodput, with the front that no run is better than."""

from typing import Any

from agentbench.report import figures
from agentbench.report.chart_page import Chart
from agentbench.report.plain import line
from agentbench.report.run_view import RunView
from agentbench.report.runs_view import FRONTS, RunsView, front

LETTERS = "ABCDEFGH"
COLOURS = ("#2563c9", "#d9620f", "#16855b", "#b0308c", "#7a5bd0", "#8a6d00")
"""Those of the page's style, `--c0` to `--c5`."""

AXES = {"ttft_p95_s": ("TTFT p95, seconds", "TTFT"), "agent_goodput_per_s": ("agent goodput per second", "goodput")}


def runs_charts(view: RunsView) -> dict[str, Chart]:
    """Quality against each of `FRONTS`, where at least two runs have both."""
    charts = {metric: _chart(view, metric) for metric in FRONTS}
    return {f"pareto_{AXES[metric][1].lower()}": chart for metric, chart in charts.items() if chart is not None}


def _chart(view: RunsView, metric: str) -> Chart | None:
    known = [
        (place, run)
        for place, run in enumerate(view.runs)
        if run.accuracy is not None and getattr(run.serving, metric) is not None
    ]
    if len(known) < 2:
        return None
    best = set(front(view.runs, metric))
    data = [_front([run for _, run in known if run.run.id in best], metric)]
    data += [_point(place, run, metric) for place, run in known]
    title, short = AXES[metric]
    layout = {
        "height": 250,
        "margin": {"t": 12, "b": 60},
        "xaxis": {"title": {"text": title}, "range": _range([getattr(run.serving, metric) for _, run in known])},
        "yaxis": {"title": {"text": "accuracy"}, "tickformat": ".0%"},
        "showlegend": False,
    }
    caption = f"Quality against {short}; the dotted line is the Pareto front"
    return Chart(caption=caption, data=data, layout=layout, told="the table has the figures")


def _range(values: list[float]) -> list[float]:
    """From a little left of 0, so that a point at 0 is clear of the axis."""
    most = max(values) or 1.0
    return [-0.04 * most, 1.1 * most]


def _front(runs: list[RunView], metric: str) -> dict[str, Any]:
    points = sorted((getattr(run.serving, metric), run.accuracy.value) for run in runs if run.accuracy)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": "#16855b", "dash": "dot", "shape": "hv" if FRONTS[metric] < 0 else "vh"},
        "hoverinfo": "skip",
    }


def _point(place: int, run: RunView, metric: str) -> dict[str, Any]:
    assert run.accuracy is not None
    value, accuracy = getattr(run.serving, metric), run.accuracy
    form = figures.seconds if metric.endswith("_s") and not metric.endswith("per_s") else figures.rate
    said = f"{LETTERS[place]} {line(run.title)}: {figures.percent(accuracy.value)}, {form(value)}"
    low, high = accuracy.low, accuracy.high
    bars = {"type": "data", "symmetric": False, "thickness": 1, "visible": low is not None and high is not None}
    bars["array"] = [0.0 if high is None else high - accuracy.value]
    bars["arrayminus"] = [0.0 if low is None else accuracy.value - low]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [value],
        "y": [accuracy.value],
        "error_y": bars,
        "text": [LETTERS[place]],
        "textposition": "top right",
        "hovertext": [said.replace("<", "‹").replace(">", "›")],
        "hoverinfo": "text",
        "cliponaxis": False,
        "marker": {"color": COLOURS[place % len(COLOURS)], "size": 12},
    }
