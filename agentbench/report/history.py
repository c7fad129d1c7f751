"""A suite over time: series of comparable runs, the change points of their metrics, and the page with the charts."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from agentbench.core.run import Run
from agentbench.report import figures
from agentbench.report.config_diff import flatten
from agentbench.report.html import COLOURS, Chart, Html, Page, chart_places, chart_text, render
from agentbench.report.run.view import RunView, run_view
from agentbench.stats.change_points import ChangePoint, change_points
from agentbench.store import Store

NEWEST_RUNS = 60
"""Runs in the history of a suite."""

METRICS: Mapping[str, Callable[[RunView], float | None]] = {
    "accuracy": lambda view: view.accuracy.value if view.accuracy else None,
    "ttft_p95_s": lambda view: view.serving.ttft_p95_s,
    "agent_goodput_per_s": lambda view: view.serving.agent_goodput_per_s,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Comparable runs, the oldest first: they share the configuration, the cases and the grading.

    `measured` has, for each metric, the indices in `runs` of the runs that have the metric. `changes` has the change
    points of each metric; a change point's `at` is an index in `measured`. `settings` are the settings in which the
    series of the history differ.
    """

    config_hash: str
    settings: Mapping[str, Any]
    runs: tuple[RunView, ...]
    measured: Mapping[str, tuple[int, ...]]
    changes: Mapping[str, tuple[ChangePoint, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """`series` are sorted by their newest run, the newest first; series of a part of the suite come last."""

    suite: str
    series: tuple[Series, ...]

    def to_json(self) -> dict[str, Any]:
        """Values are seconds, fractions and rates per second. A change's `first` is the id of the first run of the new
        level."""
        return {"suite": self.suite, "series": [_series(each) for each in self.series]}


def _series(series: Series) -> dict[str, Any]:
    newest = series.runs[-1].run
    return {
        "config_hash": series.config_hash,
        "suite_version": newest.suite_version,
        "suite_hash": newest.suite_hash,
        "cases": len(newest.case_ids),
        "suite_cases": newest.suite_cases,
        "settings": dict(series.settings),
        "runs": [_point(view) for view in series.runs],
        "changes": {
            metric: [{**asdict(each), "first": series.runs[series.measured[metric][each.at]].run.id} for each in found]
            for metric, found in series.changes.items()
        },
    }


def _point(view: RunView) -> dict[str, Any]:
    document = view.to_json()
    metrics = ("accuracy", "accuracy_low", "accuracy_high", "ttft_p95_s", "agent_goodput_per_s")
    keys = ("id", "label", "created_at", *metrics, "attempts_right", "attempts_wrong", "attempts_failed")
    return {**{key: document[key] for key in keys}, "commit": commit_of(view.run)}


def commit_of(run: Run) -> str:
    """The git commit of the run; empty if the run did not record one."""
    return str(run.environment.get("git_commit") or "")


def history_view(suite: str, views: Sequence[RunView]) -> HistoryView:
    """The history of a suite from the views of its runs, the oldest first."""
    groups: dict[tuple[str, ...], list[RunView]] = {}
    for view in views:
        groups.setdefault(_series_key(view.run), []).append(view)
    newest_first = sorted(groups.values(), key=_sort_key, reverse=True)
    differing = _differing_settings([group[-1].run for group in newest_first])
    found = [_series_of(group, settings) for group, settings in zip(newest_first, differing, strict=True)]
    return HistoryView(suite=suite, series=tuple(found))


def _series_key(run: Run) -> tuple[str, ...]:
    """Equal for runs of one series. A run of a part of the suite has other cases, and so another suite hash."""
    grading = {"suite": run.environment.get("suite"), "passed_by": run.environment.get("passed_by")}
    return run.config_hash, run.suite_hash, json.dumps(grading, sort_keys=True, default=str)


def _sort_key(group: Sequence[RunView]) -> tuple[bool, datetime]:
    newest = group[-1].run
    return not newest.is_part, newest.created_at


def _series_of(group: Sequence[RunView], settings: Mapping[str, Any]) -> Series:
    measured = {name: tuple(i for i, view in enumerate(group) if of(view) is not None) for name, of in METRICS.items()}
    values = {name: [METRICS[name](group[index]) for index in indices] for name, indices in measured.items()}
    changes = {name: change_points([each for each in found if each is not None]) for name, found in values.items()}
    config_hash = group[0].run.config_hash
    return Series(config_hash=config_hash, settings=settings, runs=tuple(group), measured=measured, changes=changes)


def _differing_settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each run, the settings in which the runs differ."""
    trees = [dict(flatten(run.config)) for run in runs]
    paths = sorted({path for tree in trees for path in tree})
    differing = [path for path in paths if len({repr(tree.get(path)) for tree in trees}) > 1]
    return [{path: tree[path] for path in differing if path in tree} for tree in trees]


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
