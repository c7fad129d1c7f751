"""Pages of runs: the list, a run with its figures, attempts, tags and note, live progress, and downloads.

Progress is sent as server-sent events. Downloads are JSON, a report, tables, or a file that can be imported.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from agentbench.core.attempt import Attempt
from agentbench.core.run import Run
from agentbench.export.run_file import write_run_file
from agentbench.export.tables import export_tables
from agentbench.report.html import chart_places, html_of
from agentbench.report.lists import summary_json
from agentbench.report.run.case_outcomes import verdict_of
from agentbench.report.run.page import load_run_page
from agentbench.report.run.page import run_page as page_html
from agentbench.report.transcript.view import attempt_figures
from agentbench.stats.usage import Prices
from agentbench.store import Store
from agentbench.store.listing import Progress
from agentbench.web.filters import annotated, attempt_filter, requested_page, requested_run, run_filter
from agentbench.web.rendering import page, viewer_at
from agentbench.web.viewer import Viewer

EVERY_S = 0.5
"""How often the store is asked."""

BEAT = 30
"""Times it is asked without news until a comment keeps the connection from being taken for dead."""


async def events(request: Request) -> Response:
    """Sends `progress` when attempts were added, then `ended` when the run is no longer running."""
    viewer = viewer_at(request)
    run = await run_in_threadpool(requested_run, request, viewer.store)
    planned = len(run.case_ids) * run.repeats

    async def stream() -> AsyncIterator[str]:
        before: Progress | None = None
        quiet = 0
        while not await request.is_disconnected():
            now = await run_in_threadpool(viewer.store.listing.progress, run.id)
            if now != before:
                yield _event("progress" if now.status == "running" else "ended", now, planned)
                before, quiet = now, 0
            if now.status != "running":
                return
            quiet += 1
            if quiet % BEAT == 0:
                yield ": still there\n\n"
            await asyncio.sleep(EVERY_S)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _event(name: str, progress: Progress, planned: int) -> str:
    facts = {"status": progress.status, "attempts": progress.attempts, "planned": planned}
    return f"event: {name}\ndata: {json.dumps(facts)}\n\n"


def _json(store: Store, run: Run, path: Path) -> None:
    from agentbench.report.run.view import run_view

    path.write_text(json.dumps(run_view(store, run).to_json(), indent=2, default=str), encoding="utf-8")


def _html(store: Store, run: Run, path: Path) -> None:
    path.write_text(html_of(page_html(load_run_page(store, run))), encoding="utf-8")


def _run(store: Store, run: Run, path: Path) -> None:
    write_run_file(store, run, path)


def _csv(store: Store, run: Run, path: Path) -> None:
    tables = path.with_suffix("")
    export_tables(store, run, "csv", tables)
    shutil.make_archive(str(tables), "zip", tables)


KINDS: Mapping[str, tuple[str, Callable[[Store, Run, Path], None]]] = {
    "json": ("json", _json),
    "html": ("html", _html),
    "csv": ("zip", _csv),
    "run": ("run.jsonl.gz", _run),
}
"""What a run can be had as: the end of the file's name, and what writes it."""


def download(request: Request) -> Response:
    store = viewer_at(request).store
    run, kind = requested_run(request, store), request.path_params["kind"]
    if kind not in KINDS:
        raise HTTPException(404, f"no download {kind!r}: there are {', '.join(KINDS)}")
    ending, write = KINDS[kind]
    directory = Path(tempfile.mkdtemp(prefix="agentbench-ui-"))
    clean = BackgroundTask(shutil.rmtree, directory, ignore_errors=True)
    name = f"{run.id}.{ending}"
    try:
        write(store, run, directory / name)
    except BaseException:  # any error: there is no response that could clean up
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return FileResponse(directory / name, filename=name, background=clean)


RUNS = 50
ATTEMPTS = 100
"""On a page."""


def runs_page(request: Request) -> Response:
    store = viewer_at(request).store
    wanted, part = run_filter(request), requested_page(request, RUNS)
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
        all_tags=store.notes.all_tags(),
    )


def run_page(request: Request) -> Response:
    viewer = viewer_at(request)
    run = requested_run(request, viewer.store)
    figures = viewer.figures.of(run)
    return page(
        request,
        "run.live.html" if request.headers.get("x-part") == "live" else "run.page.html",
        charts=figures.charts,
        figures=chart_places(figures.charts),
        document=figures.document,
        title=figures.view.title,
        run=run,
        tags=viewer.store.notes.tags([run.id]).get(run.id, []),
        note=viewer.store.notes.note(run.id),
        **_attempts(request, viewer, run),
    )


def _attempts(request: Request, viewer: Viewer, run: Run) -> dict[str, Any]:
    """The requested page of the run's attempts."""
    wanted, part = attempt_filter(request), requested_page(request, ATTEMPTS)
    found, total = viewer.store.listing.attempts(run.id, wanted, part)
    return {"rows": [_row(attempt, run.prices) for attempt in found], "wanted": wanted, "part": part, "total": total}


def _row(attempt: Attempt, prices: Prices) -> dict[str, Any]:
    return {
        "case_id": attempt.case_id,
        "repeat": attempt.repeat,
        "verdict": verdict_of(attempt),
        "failure": attempt.failure,
        "scores": attempt.scores,
        "document": {"figures": attempt_figures(attempt, prices)},
    }


async def annotate(request: Request) -> Response:
    store = viewer_at(request).store
    return await annotated(request, store.notes, lambda each: requested_run(each, store).id, "run")
