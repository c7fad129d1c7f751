"""Several runs as one HTML file: differences, verdicts, Pareto fronts, configurations, and the cases that changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentbench.core.run import Run
from agentbench.report.compare.charts import LETTERS, runs_charts
from agentbench.report.compare.table import conclusion
from agentbench.report.compare.view import CompareView, RunsView
from agentbench.report.html import Html, Page, chart_places, render
from agentbench.report.run.view import RunView
from agentbench.report.transcript.view import AttemptView, attempt_view
from agentbench.store import Store

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
    places = {name: chart_places({name: chart}) for name, chart in charts.items()}
    body = render("runs_page.html", charts=places, heading=view.heading, **_values(view, store))
    return Page(title=view.heading, body=Html(body), charts=charts)


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
        "objectives": view.objectives,
        "incomplete": INCOMPLETE,
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
