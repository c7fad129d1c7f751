"""A run taken out of the viewer: as JSON, as a report, as tables, as a file that can be imported."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from agentbench.export.run_file import write_run_file
from agentbench.export.run_tables import export_tables
from agentbench.report.chart_page import html_of
from agentbench.report.run_page import page_of
from agentbench.report.run_page import run_page as page_html
from agentbench.run import Run
from agentbench.store import Store
from agentbench.web.asked import asked_run
from agentbench.web.rendering import viewer_at


def _json(store: Store, run: Run, path: Path) -> None:
    from agentbench.report.run_view import run_view

    path.write_text(json.dumps(run_view(store, run).to_json(), indent=2, default=str), encoding="utf-8")


def _html(store: Store, run: Run, path: Path) -> None:
    path.write_text(html_of(page_html(page_of(store, run))), encoding="utf-8")


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
    run, kind = asked_run(request, store), request.path_params["kind"]
    if kind not in KINDS:
        raise HTTPException(404, f"no download {kind!r}: there are {', '.join(KINDS)}")
    ending, write = KINDS[kind]
    directory = Path(tempfile.mkdtemp(prefix="agentbench-ui-"))
    clean = BackgroundTask(shutil.rmtree, directory, ignore_errors=True)
    name = f"{run.id}.{ending}"
    try:
        write(store, run, directory / name)
    except BaseException:  # whatever it was: there is no answer to clean up after
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return FileResponse(directory / name, filename=name, background=clean)
