"""Runs side by side, and a suite over time."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agentbench.errors import UserError
from agentbench.report.chart_page import Page
from agentbench.report.history_page import history_page
from agentbench.report.history_view import NEWEST, history_view
from agentbench.report.runs_page import runs_page
from agentbench.report.runs_view import runs_view
from agentbench.web.asked import run_named
from agentbench.web.rendering import page, viewer_at


def compare_page(request: Request) -> Response:
    viewer = viewer_at(request)
    names = list(dict.fromkeys(request.query_params.getlist("run")))
    if len(names) < 2:
        raise HTTPException(400, "tick two runs or more in the list of runs, then press Compare")
    runs = [run_named(viewer.store, name) for name in names]
    if request.query_params.get("order") == "started":
        runs.sort(key=lambda run: (run.created_at, run.id))
    try:
        found = viewer.figures.page_of("compare", runs, lambda: runs_page(runs_view(viewer.store, runs), viewer.store))
    except UserError as error:
        raise HTTPException(400, str(error)) from None
    return page(request, "report.page.html", charts=found.charts, title=found.title, body=found.body)


def history(request: Request) -> Response:
    viewer = viewer_at(request)
    suite = request.path_params["suite"]
    runs = viewer.store.listing.history(suite, NEWEST)
    if not runs:
        raise HTTPException(404, f"suite {suite!r} has no finished runs outside of studies")

    def made() -> Page:
        return history_page(history_view(suite, [viewer.figures.of(run).view for run in runs]))

    told = viewer.figures.page_of("history", runs, made)
    return page(request, "report.page.html", charts=told.charts, title=told.title, body=told.body)


def home(request: Request) -> Response:
    return RedirectResponse(request.url_for("runs").path, status_code=303)
