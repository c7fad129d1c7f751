"""Review of attempts by people: one at a time, by keyboard, without scorers' verdicts."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agentbench.core.attempt import Label
from agentbench.core.errors import UserError
from agentbench.core.run import Run
from agentbench.report.review import AttemptKey, ReviewSelection
from agentbench.report.transcript.view import attempt_view
from agentbench.web.filters import integer_parameter, posted_form, requested_run, run_named
from agentbench.web.rendering import page, viewer_at
from agentbench.web.viewer import Queue, Viewer

KINDS = {
    "all": "every attempt",
    "sample": "a sample",
    "uncertain": "attempts with the least certain scores",
    "changed": "attempts whose verdict differs from another run's",
}
SAMPLE = 50
COOKIE = "agentbench_reviewer"
LONGEST_NAME = 80
MONTHS = 180 * 24 * 3600


def review_page(request: Request) -> Response:
    """The queue's next attempt, or the form to choose a queue."""
    viewer = viewer_at(request)
    run = requested_run(request, viewer.store)
    kind, reviewer = request.query_params.get("queue", ""), _reviewer(request, viewer)
    if kind not in KINDS:
        return page(request, "review.start.html", run=run, kinds=KINDS, reviewer=reviewer, sample=SAMPLE)
    queue = _queue(request, viewer, run, kind, reviewer)
    key = _requested_key(request) or queue.next_after(None)
    if key is None:
        return page(request, "review.done.html", run=run, queue=queue, reviewer=reviewer)
    attempt = viewer.store.attempt(run.id, *key)
    if attempt is None:
        raise HTTPException(404, f"run {run.id} has no attempt of case {key[0]!r}, repeat {key[1]}")
    blind = replace(attempt, scores=(), passed=None)
    return page(
        request,
        "review.page.html",
        run=run,
        view=attempt_view(blind, viewer.store.case(run.id, key[0]), {}),
        queue=queue,
        key=key,
        skipped=queue.next_after(key),
        label=queue.labels.get(key),
        reviewer=reviewer,
        kind=kind,
        what=KINDS[kind],
    )


def agreement_page(request: Request) -> Response:
    viewer = viewer_at(request)
    run = requested_run(request, viewer.store)
    found = viewer.figures.agreement_on(run)
    return page(request, "agreement.html", run=run, document=found.to_json())


async def label(request: Request) -> Response:
    """Stores a verdict and shows the next attempt."""
    viewer = viewer_at(request)
    form = await posted_form(request, viewer.csrf)
    return await run_in_threadpool(_label, request, viewer, form)


def _label(request: Request, viewer: Viewer, form: dict[str, str]) -> Response:
    run, reviewer = requested_run(request, viewer.store), _reviewer(request, viewer)
    verdict = form.get("verdict")
    if verdict not in ("pass", "fail"):
        raise HTTPException(400, f"verdict {verdict!r}: expected pass or fail")
    key = (form.get("case", ""), integer_parameter("repeat", form.get("repeat", ""), 0))
    label = Label(
        case_id=key[0],
        repeat=key[1],
        reviewer=reviewer,
        passed=verdict == "pass",
        comment=form.get("comment", "").strip(),
        created_at=datetime.now(UTC),
    )
    try:
        viewer.store.add_label(run.id, label)
    except UserError as error:
        raise HTTPException(400, str(error)) from None
    kind = request.query_params.get("queue", "all")
    following = _queue(request, viewer, run, kind if kind in KINDS else "all", reviewer).next_after(key)
    changed: dict[str, Any] = {"case": None, "repeat": None}
    if following is not None:
        changed = {"case": following[0], "repeat": following[1]}
    address = request.url.include_query_params(**{k: v for k, v in changed.items() if v is not None})
    if following is None:
        address = address.remove_query_params(["case", "repeat"])
    return RedirectResponse(address.path.removesuffix("/label") + f"?{address.query}", status_code=303)


async def name_reviewer(request: Request) -> Response:
    """Stores the reviewer's name for this browser."""
    viewer = viewer_at(request)
    form = await posted_form(request, viewer.csrf)
    name = " ".join(form.get("reviewer", "").split())
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise HTTPException(400, f"a reviewer's name has 1 to {LONGEST_NAME} characters")
    back = request.url_for("review", run=request.path_params["run"]).path
    answer = RedirectResponse(back, status_code=303)
    encoded = name.encode("utf-8").hex()
    answer.set_cookie(COOKIE, encoded, max_age=MONTHS, httponly=True, samesite="strict")
    return answer


def _reviewer(request: Request, viewer: Viewer) -> str:
    """The name set in this browser, otherwise the viewer's default."""
    try:
        name = bytes.fromhex(request.cookies.get(COOKIE, "")).decode("utf-8")
    except ValueError:
        name = ""
    return name[:LONGEST_NAME] or viewer.reviewer or ""


def _queue(request: Request, viewer: Viewer, run: Run, kind: str, reviewer: str) -> Queue:
    parameters = request.query_params
    size, seed = parameters.get("size", ""), parameters.get("seed", "0")
    against = parameters.get("against", "").strip()
    if kind == "changed" and not against:
        raise HTTPException(400, "name the run whose verdicts to compare with")
    selection = ReviewSelection(
        reviewer=reviewer,
        sample=integer_parameter("size", size, SAMPLE) if kind in ("sample", "uncertain") else None,
        uncertain=kind == "uncertain",
        against=run_named(viewer.store, against).id if kind == "changed" else None,
        seed=integer_parameter("seed", seed, 0),
    )
    return viewer.queues.of(run.id, selection)


def _requested_key(request: Request) -> AttemptKey | None:
    case_id = request.query_params.get("case")
    return (
        None if case_id is None else (case_id, integer_parameter("repeat", request.query_params.get("repeat", ""), 0))
    )
