"""Pages of an attempt (its transcript, and its case in other runs), of compared runs, and of a suite over time."""

from collections.abc import Iterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agentbench.core.errors import UserError
from agentbench.core.run import Run
from agentbench.core.trace import ModelCall
from agentbench.report.compare.page import runs_page
from agentbench.report.compare.view import runs_view
from agentbench.report.history import NEWEST_RUNS, history_page, history_view
from agentbench.report.html import Page
from agentbench.report.transcript.view import attempt_view
from agentbench.store import Store
from agentbench.web.filters import requested_run, run_named
from agentbench.web.rendering import page, viewer_at

TOKENS_SHOWN = 400
"""Chunks whose times are drawn, of a call."""


def attempt_page(request: Request) -> Response:
    store = viewer_at(request).store
    run, case_id = requested_run(request, store), request.path_params["case"]
    repeats = store.listing.repeats(run.id, case_id)
    repeat = _repeat(request, repeats)
    attempt = store.attempt(run.id, case_id, repeat)
    if attempt is None:
        raise HTTPException(404, f"run {run.id} has no attempt of case {case_id!r}, repeat {repeat}")
    view = attempt_view(attempt, store.case(run.id, case_id), run.prices)
    return page(
        request,
        "attempt.page.html",
        run=run,
        view=view,
        repeats=repeats,
        timings=dict(_timings(view.attempt.trace.steps)),
        elsewhere=_elsewhere(store, run, case_id),
        labels=[each for each in store.labels(run.id) if (each.case_id, each.repeat) == (case_id, repeat)],
    )


def _repeat(request: Request, repeats: list[int]) -> int:
    repeat = request.query_params.get("repeat", "")
    return int(repeat) if repeat.isascii() and repeat.isdigit() and len(repeat) < 9 else (repeats or [0])[0]


def _timings(steps: "tuple[object, ...]") -> Iterator[tuple[int, list[tuple[float, float]]]]:
    """For each model call by index: the position of each chunk, as a share of the call's time and in seconds."""
    for place, step in enumerate(steps):
        if isinstance(step, ModelCall) and step.chunk_at:
            duration = max(1, step.ended_at - step.sent_at)
            since = [at - step.sent_at for at in step.chunk_at[:TOKENS_SHOWN]]
            yield place, [(each / duration, each * 1e-9) for each in since]


def _elsewhere(store: Store, run: Run, case_id: str) -> list[dict[str, str]]:
    """The other runs that attempted this case, newest first, with its results there."""
    found = store.listing.elsewhere(case_id, run.suite)
    return [
        {"id": run_id, "title": label or run_id, "verdict": verdict, "at": f"{at:%Y-%m-%d %H:%M}"}
        for run_id, label, at, verdict in found
        if run_id != run.id
    ]


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
    runs = viewer.store.listing.history(suite, NEWEST_RUNS)
    if not runs:
        raise HTTPException(404, f"suite {suite!r} has no finished runs outside of studies")

    def make_page() -> Page:
        return history_page(history_view(suite, [viewer.figures.of(run).view for run in runs]))

    found = viewer.figures.page_of("history", runs, make_page)
    return page(request, "report.page.html", charts=found.charts, title=found.title, body=found.body)


def home(request: Request) -> Response:
    return RedirectResponse(request.url_for("runs").path, status_code=303)
