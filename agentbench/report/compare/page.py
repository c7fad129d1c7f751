"""Several runs as one HTML file: differences, verdicts, Pareto fronts, configurations, and the cases that changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentbench.core.run import Run
from agentbench.report import figures
from agentbench.report.compare.table import conclusion
from agentbench.report.compare.view import FRONTS, CompareView, RunsView, front
from agentbench.report.html import COLOURS, Chart, Html, Page, chart_places, chart_text, render
from agentbench.report.run.view import RunView
from agentbench.report.terminal_safe import line
from agentbench.report.transcript.view import AttemptView, attempt_view
from agentbench.store import Store

LETTERS = "ABCDEFGH"
AXES = {"ttft_p95_s": ("TTFT p95, seconds", "TTFT"), "agent_goodput_per_s": ("agent goodput per second", "goodput")}


def runs_charts(view: RunsView) -> dict[str, Chart]:
    """Charts of accuracy against each metric in `FRONTS`, where at least two runs have both."""
    charts = {metric: _chart(view, metric) for metric in FRONTS}
    return {f"pareto_{AXES[metric][1].lower()}": chart for metric, chart in charts.items() if chart is not None}


def _chart(view: RunsView, metric: str) -> Chart | None:
    measured = [
        (place, run)
        for place, run in enumerate(view.runs)
        if run.accuracy is not None and getattr(run.serving, metric) is not None
    ]
    if len(measured) < 2:
        return None
    best = set(front(view.runs, metric))
    data = [_front([run for _, run in measured if run.run.id in best], metric)]
    data += [_point(place, run, metric) for place, run in measured]
    title, short = AXES[metric]
    layout = {
        "height": 250,
        "margin": {"t": 12, "b": 60},
        "xaxis": {"title": {"text": title}, "range": _range([getattr(run.serving, metric) for _, run in measured])},
        "yaxis": {"title": {"text": "accuracy"}, "tickformat": ".0%"},
        "showlegend": False,
    }
    caption = f"Quality against {short}; the dotted line is the Pareto front"
    return Chart(caption=caption, data=data, layout=layout, figures_at="the table has the figures")


def _range(values: list[float]) -> list[float]:
    """The range of the axis. It starts left of 0, so that a point at 0 is clear of the axis."""
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
    hover = f"{LETTERS[place]} {line(run.title)}: {figures.percent(accuracy.value)}, {form(value)}"
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
        "hovertext": [chart_text(hover)],
        "hoverinfo": "text",
        "cliponaxis": False,
        "marker": {"color": COLOURS[place % len(COLOURS)], "size": 12},
    }


TRANSCRIPTS = 15
"""Changed cases shown with both transcripts, in each direction."""

ROWS = (
    ("Accuracy", "accuracy", "percent"),
    ("pass^k", "pass_hat_k", "percent"),
    ("pass^k, failures as wrong", "pass_hat_k_as_gated", "percent"),
    ("Right", "attempts_right", "count"),
    ("Wrong", "attempts_wrong", "count"),
    ("Failed", "attempts_failed", "count"),
    ("TTFT p50", "ttft_p50_s", "seconds"),
    ("TTFT p95", "ttft_p95_s", "seconds"),
    ("TPOT p50", "tpot_p50_s", "seconds"),
    ("Output tokens/s", "output_tokens_per_s", "rate"),
    ("Agent goodput/s", "agent_goodput_per_s", "rate"),
    ("Tokens in", "prompt_tokens", "count"),
    ("Tokens out", "completion_tokens", "count"),
    ("Cost", "cost", "cost"),
    ("Wall time", "wall_s", "seconds"),
)
"""Rows of the table: title, key in the run's JSON, form."""

INCOMPLETE = {
    "output_tokens_per_s": "uncounted_timed",
    "prompt_tokens": "uncounted_prompts",
    "completion_tokens": "uncounted_completions",
    "cost": "cost_unknown_calls",
}
"""Keys of sums, each with the key of the number of calls missing from it. If any are missing, the sum is a lower
bound."""

OPTIONAL = ("pass_hat_k", "pass_hat_k_as_gated", "cost")
"""Keys whose row is left out when no run has a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedAttempt:
    """The attempt at a changed case in one of the two runs."""

    letter: str
    run: str
    view: AttemptView


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedCase:
    """A case whose result is better in one of two runs than in the other."""

    case_id: str
    question: str
    attempts: Sequence[ChangedAttempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A later run compared with the first: `gained` cases are better in the later run, `lost` cases in the first."""

    letter: str
    title: str
    gained: Sequence[ChangedCase]
    lost: Sequence[ChangedCase]
    gained_total: int
    lost_total: int


def runs_page(view: RunsView, store: Store) -> Page:
    """The HTML page of several runs. `UserError` when Jinja2 is not installed."""
    charts = runs_charts(view)
    body = render("runs_page.html", charts=chart_places(charts), **_values(view, store))
    return Page(title=", ".join(run.title for run in view.runs), body=Html(body), charts=charts)


def _values(view: RunsView, store: Store) -> dict[str, Any]:
    """The template's values."""
    document = view.to_json()
    runs = document["runs"]
    conclusions = [
        conclusion(each.passes.difference, adjusted.get("pass_rate"), "A", letter)
        for each, adjusted, letter in zip(view.comparisons, view.adjusted, LETTERS[1:], strict=False)
    ]
    return {
        "document": document,
        "conclusions": conclusions,
        "scorers": list(dict.fromkeys(name for run in view.runs for name in run.scores)),
        "rows": [row for row in ROWS if row[1] not in OPTIONAL or any(run[row[1]] is not None for run in runs)],
        "letters": LETTERS,
        "incomplete": INCOMPLETE,
        "suites": ", ".join(dict.fromkeys(run.run.suite for run in view.runs)),
        "pairs": [_pair(store, view.runs, place, each) for place, each in enumerate(view.comparisons, 1)],
    }


def _pair(store: Store, runs: Sequence[RunView], place: int, comparison: CompareView) -> Pair:
    pair = ((LETTERS[place], runs[place].run), ("A", runs[0].run))
    gained, lost = comparison.passes.better_in_b, comparison.passes.better_in_a
    return Pair(
        letter=LETTERS[place],
        title=runs[place].title,
        gained=[_case(store, case_id, pair) for case_id in gained[:TRANSCRIPTS]],
        lost=[_case(store, case_id, pair) for case_id in lost[:TRANSCRIPTS]],
        gained_total=len(gained),
        lost_total=len(lost),
    )


def _case(store: Store, case_id: str, pair: Sequence[tuple[str, Run]]) -> ChangedCase:
    """Both runs' attempts in the case's first repeat with different verdicts, or else in the last repeat."""
    repeats = [set(store.listing.repeats(run.id, case_id)) for _, run in pair]
    views: list[AttemptView] = []
    for repeat in sorted(set.intersection(*repeats)):
        views = [_attempt(store, run, case_id, repeat) for _, run in pair]
        if views[0].verdict != views[1].verdict:
            break
    attempts = [
        ChangedAttempt(letter=letter, run=run.id, view=view) for (letter, run), view in zip(pair, views, strict=True)
    ]
    return ChangedCase(case_id=case_id, question=views[0].question, attempts=attempts)


def _attempt(store: Store, run: Run, case_id: str, repeat: int) -> AttemptView:
    attempt = store.attempt(run.id, case_id, repeat)
    assert attempt is not None, "the listing has it"
    return attempt_view(attempt, store.case(run.id, case_id), run.prices)
