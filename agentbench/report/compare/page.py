"""Several runs as one HTML file: differences and verdicts, the front, the configuration, the cases that changed."""

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
    return Chart(caption=caption, data=data, layout=layout, figures_at="the table has the figures")


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
        "hovertext": [chart_text(said)],
        "hoverinfo": "text",
        "cliponaxis": False,
        "marker": {"color": COLOURS[place % len(COLOURS)], "size": 12},
    }


SHOWN = 15
"""Changed cases of each way that are shown in full."""

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
"""What is shown of each run: name, key of its JSON, form."""

INCOMPLETE = {
    "output_tokens_per_s": "uncounted_timed",
    "prompt_tokens": "uncounted_prompts",
    "completion_tokens": "uncounted_completions",
    "cost": "cost_unknown_calls",
}
"""Keys of sums, and of the calls that are missing from each: with any it is the least that it was."""

WHERE_KNOWN = ("pass_hat_k", "pass_hat_k_as_gated", "cost")
"""Keys whose row is left out when no run has a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSide:
    letter: str
    run: str
    view: AttemptView


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedCase:
    """A case that came out better in one of two runs."""

    case_id: str
    question: str
    sides: Sequence[ChangedSide]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A run against the first: `gained` are better in it, `lost` in the first."""

    letter: str
    title: str
    gained: Sequence[ChangedCase]
    lost: Sequence[ChangedCase]
    gained_total: int
    lost_total: int


def runs_page(view: RunsView, store: Store) -> Page:
    """`UserError` when Jinja2 is not installed."""
    charts = runs_charts(view)
    body = render("runs_page.html", charts=chart_places(charts), **_values(view, store))
    return Page(title=", ".join(run.title for run in view.runs), body=Html(body), charts=charts)


def _values(view: RunsView, store: Store) -> dict[str, Any]:
    """What the template of several runs is filled with."""
    document = view.to_json()
    runs = document["runs"]
    said = [
        conclusion(each.passes.difference, adjusted.get("pass_rate"), "A", letter)
        for each, adjusted, letter in zip(view.comparisons, view.adjusted, LETTERS[1:], strict=False)
    ]
    return {
        "document": document,
        "said": said,
        "scorers": list(dict.fromkeys(name for run in view.runs for name in run.scores)),
        "rows": [row for row in ROWS if row[1] not in WHERE_KNOWN or any(run[row[1]] is not None for run in runs)],
        "letters": LETTERS,
        "incomplete": INCOMPLETE,
        "suites": ", ".join(dict.fromkeys(run.run.suite for run in view.runs)),
        "pairs": [_pair(store, view.runs, place, each) for place, each in enumerate(view.comparisons, 1)],
    }


def _pair(store: Store, runs: Sequence[RunView], place: int, found: CompareView) -> Pair:
    sides = ((LETTERS[place], runs[place].run), ("A", runs[0].run))
    gained, lost = found.passes.better_in_b, found.passes.better_in_a
    return Pair(
        letter=LETTERS[place],
        title=runs[place].title,
        gained=[_case(store, case_id, sides) for case_id in gained[:SHOWN]],
        lost=[_case(store, case_id, sides) for case_id in lost[:SHOWN]],
        gained_total=len(gained),
        lost_total=len(lost),
    )


def _case(store: Store, case_id: str, sides: Sequence[tuple[str, Run]]) -> ChangedCase:
    """The case's first repeat that came out differently, on both sides."""
    repeats = [set(store.listing.repeats(run.id, case_id)) for _, run in sides]
    views: list[AttemptView] = []
    for repeat in sorted(set.intersection(*repeats)):
        views = [_attempt(store, run, case_id, repeat) for _, run in sides]
        if views[0].verdict != views[1].verdict:
            break
    found = [ChangedSide(letter=side[0], run=side[1].id, view=each) for side, each in zip(sides, views, strict=True)]
    return ChangedCase(case_id=case_id, question=views[0].question, sides=found)


def _attempt(store: Store, run: Run, case_id: str, repeat: int) -> AttemptView:
    attempt = store.attempt(run.id, case_id, repeat)
    assert attempt is not None, "the listing has it"
    return attempt_view(attempt, store.case(run.id, case_id), run.prices)
