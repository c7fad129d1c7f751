"""An attempt: its transcript, and the same case in other runs."""

from collections.abc import Iterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentbench.report.told_attempt import told_attempt
from agentbench.run import Run
from agentbench.store import Store
from agentbench.trace import ModelCall
from agentbench.web.asked import asked_run
from agentbench.web.rendering import page, viewer_at

TOKENS_SHOWN = 400
"""Chunks whose times are drawn, of a call."""


def attempt_page(request: Request) -> Response:
    store = viewer_at(request).store
    run, case_id = asked_run(request, store), request.path_params["case"]
    repeats = store.listing.repeats(run.id, case_id)
    repeat = _repeat(request, repeats)
    attempt = store.attempt(run.id, case_id, repeat)
    if attempt is None:
        raise HTTPException(404, f"run {run.id} has no attempt of case {case_id!r}, repeat {repeat}")
    told = told_attempt(attempt, store.case(run.id, case_id))
    return page(
        request,
        "attempt.page.html",
        run=run,
        told=told,
        repeats=repeats,
        timings=dict(_timings(told.attempt.trace.steps)),
        elsewhere=_elsewhere(store, run, case_id),
        labels=[each for each in store.labels(run.id) if (each.case_id, each.repeat) == (case_id, repeat)],
    )


def _repeat(request: Request, repeats: list[int]) -> int:
    given = request.query_params.get("repeat", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 9 else (repeats or [0])[0]


def _timings(steps: "tuple[object, ...]") -> Iterator[tuple[int, list[tuple[float, float]]]]:
    """Of each model call by its place: where each chunk came, as a share of the call's time, and after how many
    seconds."""
    for place, step in enumerate(steps):
        if isinstance(step, ModelCall) and step.chunk_at:
            whole = max(1, step.ended_at - step.sent_at)
            since = [at - step.sent_at for at in step.chunk_at[:TOKENS_SHOWN]]
            yield place, [(each / whole, each * 1e-9) for each in since]


def _elsewhere(store: Store, run: Run, case_id: str) -> list[dict[str, str]]:
    """The other runs that attempted this case, the newest first, with how it came out there."""
    found = store.listing.elsewhere(case_id, run.suite)
    return [
        {"id": run_id, "title": label or run_id, "verdict": verdict, "at": f"{at:%Y-%m-%d %H:%M}"}
        for run_id, label, at, verdict in found
        if run_id != run.id
    ]
