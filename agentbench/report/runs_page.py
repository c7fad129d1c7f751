"""Several runs as one HTML file: differences and verdicts, the front, the configuration, the cases that changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentbench.core.run import Run
from agentbench.report.chart_page import Page, figures_of
from agentbench.report.compare_table import conclusion
from agentbench.report.compare_view import CompareView
from agentbench.report.datum import at
from agentbench.report.html_file import Html
from agentbench.report.run_view import RunView
from agentbench.report.runs_charts import LETTERS, runs_charts
from agentbench.report.runs_view import RunsView
from agentbench.report.template import render
from agentbench.report.told_attempt import ToldAttempt, told_attempt
from agentbench.store import Store

SHOWN = 15
"""Changed cases of each way that are told in full."""

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
    told: ToldAttempt


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedCase:
    """A case that came out better in one of two runs."""

    case_id: str
    asked: str
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
    body = render("runs_page.html", charts=figures_of(charts), **_values(view, store))
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
        "lookup": at,
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
    told: list[ToldAttempt] = []
    for repeat in sorted(set.intersection(*repeats)):
        told = [_told(store, run, case_id, repeat) for _, run in sides]
        if told[0].verdict != told[1].verdict:
            break
    found = [ChangedSide(letter=side[0], run=side[1].id, told=each) for side, each in zip(sides, told, strict=True)]
    return ChangedCase(case_id=case_id, asked=told[0].asked, sides=found)


def _told(store: Store, run: Run, case_id: str, repeat: int) -> ToldAttempt:
    attempt = store.attempt(run.id, case_id, repeat)
    assert attempt is not None, "the listing has it"
    return told_attempt(attempt, store.case(run.id, case_id), run.prices)
