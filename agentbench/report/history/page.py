"""A suite over time as a page: charts of its metrics run by run, with change points marked."""

from typing import Any

from agentbench.report import figures
from agentbench.report.history.view import METRICS, NEWEST_RUNS, HistoryView, Series, commit_of, history_view
from agentbench.report.html import COLOURS, Chart, Html, Page, chart_places, chart_text, render
from agentbench.report.run.view import RunView, run_view
from agentbench.store import Store

TITLES = {
    "accuracy": ("Accuracy", "accuracy", ".0%"),
    "ttft_p95_s": ("TTFT p95", "seconds", ""),
    "agent_goodput_per_s": ("Agent goodput", "right answers per second", ""),
}
SERIES_SHOWN = 6
"""Series in a chart."""


def load_history(store: Store, suite: str) -> HistoryView | None:
    """The view of the suite's newest finished runs; None when it has none."""
    runs = store.listing.history(suite, NEWEST_RUNS)
    return history_view(suite, [run_view(store, run) for run in runs]) if runs else None


def history_page(view: HistoryView) -> Page:
    """The HTML page of a suite over time. `UserError` when Jinja2 is not installed."""
    charts = {f"history_{metric}": _chart(view, metric) for metric in METRICS}
    body = render(
        "history_page.html",
        document=view.to_json(),
        charts=chart_places(charts),
        titles={metric: title for metric, (title, *_) in TITLES.items()},
        forms={"accuracy": "percent", "ttft_p95_s": "seconds", "agent_goodput_per_s": "rate"},
    )
    return Page(title=f"{view.suite} over time", body=Html(body), charts=charts)


def _chart(view: HistoryView, metric: str) -> Chart:
    title, unit, form = TITLES[metric]
    data = [_line(series, metric, place) for place, series in enumerate(view.series[:SERIES_SHOWN])]
    marks = [mark for place, series in enumerate(view.series[:SERIES_SHOWN]) for mark in _marks(series, metric, place)]
    layout = {
        "height": 320,
        "xaxis": {"type": "date"},
        "yaxis": {"title": {"text": unit}, "tickformat": form, "rangemode": "tozero" if form == "" else "normal"},
        "shapes": marks,
        "showlegend": len(data) > 1,
    }
    caption = f"{title} run by run; a dotted line marks a change of level"
    return Chart(caption=caption, data=data, layout=layout, figures_at="the table has the figures", wide=True)


def _line(series: Series, metric: str, place: int) -> dict[str, Any]:
    runs = [series.runs[index] for index in series.measured[metric]]
    found = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": _name(series),
        "x": [view.run.created_at.isoformat() for view in runs],
        "y": [METRICS[metric](view) for view in runs],
        "hovertext": [_point_text(view, metric) for view in runs],
        "hoverinfo": "text",
        "marker": {"color": COLOURS[place % len(COLOURS)]},
    }
    if metric == "accuracy":
        bars = [(view.accuracy.value, view.accuracy.low, view.accuracy.high) for view in runs if view.accuracy]
        found["error_y"] = {
            "type": "data",
            "symmetric": False,
            "thickness": 1,
            "array": [0.0 if high is None else high - value for value, _, high in bars],
            "arrayminus": [0.0 if low is None else value - low for value, low, _ in bars],
        }
    return found


def _point_text(view: RunView, metric: str) -> str:
    value = METRICS[metric](view)
    form = {"accuracy": figures.percent, "ttft_p95_s": figures.seconds}.get(metric, figures.rate)
    commit = commit_of(view.run)[:10]
    return chart_text(f"{view.title} {commit}: {form(value)}")


def _name(series: Series) -> str:
    """A series' name: the label of its newest run (if it has one), the configuration, the version and the cases."""
    newest = series.runs[-1].run
    part = f" of {newest.suite_cases}" if newest.is_part else ""
    label = f"{newest.label} · " if newest.label else ""
    return chart_text(
        f"{label}{series.config_hash[:8]} · version {newest.suite_version}, {len(newest.case_ids)}{part} cases"
    )


def _marks(series: Series, metric: str, place: int) -> list[dict[str, Any]]:
    """For each change, a line between the last run of the old level and the first run of the new one."""
    marks = []
    for change in series.changes[metric]:
        around = [series.runs[series.measured[metric][at]].run.created_at for at in (change.at - 1, change.at)]
        middle = (around[0] + (around[1] - around[0]) / 2).isoformat()
        style = {"color": COLOURS[place % len(COLOURS)], "dash": "dot", "width": 2}
        marks.append({"type": "line", "x0": middle, "x1": middle, "y0": 0, "y1": 1, "yref": "paper", "line": style})
    return marks
