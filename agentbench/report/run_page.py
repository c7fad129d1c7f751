"""A run as one HTML file: its figures, its latencies, what its attempts did, the cases that it did not have right."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentbench.case import Case
from agentbench.report.chart_page import Chart, chart_page, figures_of
from agentbench.report.run_charts import SHOWN, began, latency_charts, timeline_chart
from agentbench.report.run_view import RunView, view_of
from agentbench.report.template import render
from agentbench.report.told_attempt import told_attempt
from agentbench.run import Run
from agentbench.score import Attempt
from agentbench.stats import Outcome
from agentbench.stats.outcomes import outcome_of
from agentbench.store import Store

TOLD = 60
"""Attempts told in full, those that were not right first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """All that the page shows. `told` are the attempts told in full with their cases, `first` those of the timeline."""

    view: RunView
    outcomes: Sequence[Outcome]
    told: Sequence[tuple[Attempt, Case]]
    first: Sequence[Attempt]


def run_page(page: RunPage) -> str:
    """The whole file. `UserError` when Plotly or Jinja2 is not installed."""
    charts: dict[str, Chart] = dict(latency_charts(page.outcomes))
    if (timeline := timeline_chart(page.first)) is not None:
        charts["timeline"] = timeline
    body = render(
        "run_page.html",
        document=page.view.to_json(),
        title=page.view.title,
        charts=figures_of(charts),
        attempts=[told_attempt(attempt, case) for attempt, case in page.told],
    )
    return chart_page(f"{page.view.run.suite} · {page.view.title}", [body], charts)


def page_of(store: Store, run: Run) -> RunPage:
    """What the store has of a run; of many attempts those that were not right are told first."""
    outcomes = [outcome_of(attempt) for attempt in store.measured_attempts(run.id)]
    told: list[tuple[Attempt, Case]] = []
    right: list[tuple[Attempt, Case]] = []
    first: list[Attempt] = []
    for attempt, case in store.whole_attempts(run.id):
        first = sorted((*first, attempt), key=began)[:SHOWN]
        chosen = right if attempt.passed else told
        if len(chosen) < TOLD:
            chosen.append((attempt, case))
    view = view_of(run, outcomes, store.first_request(run.id))
    return RunPage(view=view, outcomes=outcomes, told=[*told, *right][:TOLD], first=first)
