"""A run as one HTML file: its metrics, latency histograms, a timeline, its cases, and transcripts of attempts."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.run import Run
from agentbench.core.trace import ModelCall, ToolCall
from agentbench.report.html import Chart, Html, Page, chart_places, render
from agentbench.report.run.view import RunView, view_of
from agentbench.report.terminal_safe import line
from agentbench.report.transcript.view import attempt_view
from agentbench.stats import Outcome
from agentbench.stats.calls import NS, ttft_s
from agentbench.stats.outcomes import outcome_of
from agentbench.store import Store

BINS = 40
TIMELINE_ATTEMPTS = 200
"""Attempts on the timeline: those that started first."""

PARTS = {"waiting for the first token": "#d9620f", "decoding": "#2563c9", "tool": "#16855b"}


def latency_charts(values: Mapping[str, Sequence[float]]) -> dict[str, Chart]:
    """A histogram of each latency that has values. `values` are seconds by the latency's name."""
    return {name.split()[0].lower(): _histogram(name, found) for name, found in values.items() if found}


def _histogram(name: str, values: Sequence[float]) -> Chart:
    counts, edges = np.histogram(values, bins=BINS)
    bars = {
        "type": "bar",
        "x": [float(x) for x in (edges[:-1] + edges[1:]) / 2],
        "y": [int(count) for count in counts],
        "width": float(edges[1] - edges[0]),
        "marker": {"color": "#2563c9"},
        "hovertemplate": "%{x:.3g} s: %{y}<extra></extra>",
    }
    marks = [_mark(float(np.percentile(values, q)), f"p{q}") for q in (50, 95)]
    layout = {
        "height": 280,
        "bargap": 0.02,
        "xaxis": {"title": {"text": "seconds"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "model calls"}},
        "shapes": [mark["shape"] for mark in marks],
        "annotations": [mark["label"] for mark in marks],
    }
    caption = f"{name}, {len(values):,} values"
    return Chart(caption=caption, data=[bars], layout=layout, figures_at="the table has its p50 and p95")


def _mark(at: float, name: str) -> dict[str, Any]:
    across = {"x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper"}
    return {
        "shape": {"type": "line", **across, "line": {"color": "#d9620f", "width": 1.5, "dash": "dot"}},
        "label": {"x": at, "y": 1.04, "yref": "paper", "text": name, "showarrow": False},
    }


def timeline_chart(attempts: Iterable[Attempt]) -> Chart | None:
    """The model and tool calls of each attempt over time, in seconds since the first attempt started. None without
    attempts."""
    order = sorted(attempts, key=started_ns)[:TIMELINE_ATTEMPTS]
    if not order:
        return None
    begin = started_ns(order[0])
    data = [_bars(name, order, begin) for name in PARTS]
    layout = {
        "height": 140 + 7 * len(order),
        "barmode": "overlay",
        "xaxis": {"title": {"text": "seconds since the first attempt started"}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "showticklabels": False},
    }
    return Chart(caption=f"Timeline of the first {len(order)} attempts", data=data, layout=layout, wide=True)


def started_ns(attempt: Attempt) -> int:
    """The attempt's start in nanoseconds since the Unix epoch."""
    return attempt.wall_anchor_ns + attempt.started_at


def _bars(name: str, order: Sequence[Attempt], begin: int) -> dict[str, Any]:
    spans = [
        (row, (start + each.wall_anchor_ns - begin) * NS, length, line(each.case_id))
        for row, each in enumerate(order)
        for part, start, length in _parts(each)
        if part == name
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": [row for row, *_ in spans],
        "base": [round(at, 6) for _, at, _, _ in spans],
        "x": [round(length, 6) for _, _, length, _ in spans],
        "text": [case.replace("<", "‹") for *_, case in spans],
        "textposition": "none",
        "hovertemplate": "%{text}: %{x:.3g} s<extra>" + name + "</extra>",
        "marker": {"color": PARTS[name]},
    }


def _parts(attempt: Attempt) -> Iterable[tuple[str, int, float]]:
    """(name in `PARTS`, start in ns on the attempt's clock, duration in seconds) of each span of an attempt."""
    for step in attempt.trace.steps:
        if isinstance(step, ToolCall):
            yield "tool", step.started_at, (step.ended_at - step.started_at) * NS
        elif isinstance(step, ModelCall):
            duration = (step.ended_at - step.sent_at) * NS
            first = ttft_s(step)
            yield "waiting for the first token", step.sent_at, duration if first is None else first
            if first is not None:
                yield "decoding", step.sent_at + round(first / NS), max(0.0, duration - first)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """A run's metrics and charts. `document` is the JSON of the metrics without its list of cases."""

    view: RunView
    charts: Mapping[str, Chart]
    document: Mapping[str, Any]


def run_figures(store: Store, run: Run) -> RunFigures:
    """The metrics and charts of the attempts that are stored so far."""
    chart_data = _ChartData()
    view = view_of(run, chart_data.outcomes(store.measured_attempts(run.id)))
    document = {name: value for name, value in view.to_json().items() if name != "cases"}
    return RunFigures(view=view, charts=chart_data.charts(), document=document)


class _ChartData:
    """Collects the data of the charts while attempts stream through `outcomes`: latencies and the first attempts."""

    def __init__(self) -> None:
        self._latencies = {name: array("d") for name in ("TTFT", "TPOT", "Latency of model calls")}
        self._first: list[Attempt] = []

    def outcomes(self, attempts: Iterator[Attempt]) -> Iterator[Outcome]:
        for attempt in attempts:
            outcome = outcome_of(attempt)
            values = (outcome.ttft_s, outcome.tpot_s, outcome.latency_s)
            for column, found in zip(self._latencies.values(), values, strict=True):
                column.extend(found)
            self._add_to_timeline(attempt)
            yield outcome

    def _add_to_timeline(self, attempt: Attempt) -> None:
        self._first.append(attempt)
        if len(self._first) >= 2 * TIMELINE_ATTEMPTS:
            self._first = sorted(self._first, key=started_ns)[:TIMELINE_ATTEMPTS]

    def charts(self) -> dict[str, Chart]:
        found = latency_charts(self._latencies)
        timeline = timeline_chart(self._first)
        return found if timeline is None else {**found, "timeline": timeline}


TRANSCRIPTS = 60
"""Attempts shown with their transcript; those that are not right come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """The data of the page. `attempts` are those shown with their transcript, each with its case."""

    figures: RunFigures
    attempts: Sequence[tuple[Attempt, Case]]


def run_page(page: RunPage) -> Page:
    """The HTML page of a run. `UserError` when Jinja2 is not installed."""
    view, charts = page.figures.view, page.figures.charts
    body = render(
        "run_page.html",
        document=view.to_json(),
        title=view.title,
        charts=chart_places(charts),
        attempts=[attempt_view(attempt, case, view.run.prices) for attempt, case in page.attempts],
    )
    return Page(title=f"{view.run.suite} · {view.title}", body=Html(body), charts=charts)


def load_run_page(store: Store, run: Run) -> RunPage:
    """Reads the page's data from the store: of the attempts at most `TRANSCRIPTS`, those not right first."""
    others: list[tuple[Attempt, Case]] = []
    right: list[tuple[Attempt, Case]] = []
    for attempt, case in store.attempts_with_cases(run.id):
        chosen = right if attempt.passed else others
        if len(chosen) < TRANSCRIPTS:
            chosen.append((attempt, case))
    return RunPage(figures=run_figures(store, run), attempts=[*others, *right][:TRANSCRIPTS])
