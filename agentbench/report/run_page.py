"""A run as one HTML file: its figures, its latencies, what its attempts did, the cases that it did not have right."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.run import Run
from agentbench.report.chart_page import Page, figures_of
from agentbench.report.html_file import Html
from agentbench.report.run_figures import RunFigures, run_figures
from agentbench.report.template import render
from agentbench.report.told_attempt import told_attempt
from agentbench.store import Store

TOLD = 60
"""Attempts told in full, those that were not right first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """All that the page shows. `told` are the attempts told in full, with their cases."""

    figures: RunFigures
    told: Sequence[tuple[Attempt, Case]]


def run_page(page: RunPage) -> Page:
    """`UserError` when Jinja2 is not installed."""
    view, charts = page.figures.view, page.figures.charts
    body = render(
        "run_page.html",
        document=view.to_json(),
        title=view.title,
        charts=figures_of(charts),
        attempts=[told_attempt(attempt, case, view.run.prices) for attempt, case in page.told],
    )
    return Page(title=f"{view.run.suite} · {view.title}", body=Html(body), charts=charts)


def page_of(store: Store, run: Run) -> RunPage:
    """What the store has of a run; of many attempts those that were not right are told first."""
    told: list[tuple[Attempt, Case]] = []
    right: list[tuple[Attempt, Case]] = []
    for attempt, case in store.whole_attempts(run.id):
        chosen = right if attempt.passed else told
        if len(chosen) < TOLD:
            chosen.append((attempt, case))
    return RunPage(figures=run_figures(store, run), told=[*told, *right][:TOLD])
