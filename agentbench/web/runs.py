"""The list of runs, and a run: its figures, its attempts, its tags and note."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agentbench.report.attempt_json import attempt_figures
from agentbench.report.chart_page import figures_of
from agentbench.report.outcomes import verdict_of
from agentbench.report.runs_table import summary_json
from agentbench.run import Run
from agentbench.score import Attempt
from agentbench.web.annotating import annotated
from agentbench.web.asked import asked_page, asked_run, attempt_filter, run_filter
from agentbench.web.rendering import page, viewer_at
from agentbench.web.viewer import Viewer

RUNS = 50
ATTEMPTS = 100
"""On a page."""


def runs_page(request: Request) -> Response:
    store = viewer_at(request).store
    wanted, part = run_filter(request), asked_page(request, RUNS)
    found, total = store.listing.runs(wanted, part)
    return page(
        request,
        "runs.html",
        rows=[summary_json(run) for run in found],
        tags=store.notes.tags([run.id for run in found]),
        wanted=wanted,
        part=part,
        total=total,
        suites=store.listing.suites(),
        known_tags=store.notes.known_tags(),
    )


def run_page(request: Request) -> Response:
    viewer = viewer_at(request)
    run = asked_run(request, viewer.store)
    figures = viewer.figures.of(run)
    return page(
        request,
        "run.live.html" if request.headers.get("x-part") == "live" else "run.page.html",
        charts=figures.charts,
        figures=figures_of(figures.charts),
        document=figures.document,
        title=figures.view.title,
        run=run,
        tags=viewer.store.notes.tags([run.id]).get(run.id, []),
        note=viewer.store.notes.note(run.id),
        **_attempts(request, viewer, run),
    )


def _attempts(request: Request, viewer: Viewer, run: Run) -> dict[str, Any]:
    """The page of its attempts that is asked for."""
    wanted, part = attempt_filter(request), asked_page(request, ATTEMPTS)
    found, total = viewer.store.listing.attempts(run.id, wanted, part)
    return {"rows": list(map(_row, found)), "wanted": wanted, "part": part, "total": total}


def _row(attempt: Attempt) -> dict[str, Any]:
    return {
        "case_id": attempt.case_id,
        "repeat": attempt.repeat,
        "verdict": verdict_of(attempt),
        "failure": attempt.failure,
        "scores": attempt.scores,
        "document": {"figures": attempt_figures(attempt)},
    }


async def annotate(request: Request) -> Response:
    store = viewer_at(request).store
    return await annotated(request, store.notes, lambda asked: asked_run(asked, store).id, "run")
