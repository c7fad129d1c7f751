"""The viewer's addresses."""

from collections.abc import Collection
from functools import cache
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agentbench.report.asset import asset
from agentbench.report.html_file import plotly
from agentbench.web import attempts, compared, downloads, live, review, runs, studies
from agentbench.web.guard import LOOPBACK, Guard
from agentbench.web.rendering import page
from agentbench.web.viewer import Viewer

READING = [
    Route("/", compared.home),
    Route("/runs", runs.runs_page, name="runs"),
    Route("/runs/{run}", runs.run_page, name="run"),
    Route("/runs/{run}/events", live.events, name="events"),
    Route("/runs/{run}/download/{kind}", downloads.download, name="download"),
    Route("/runs/{run}/agreement", review.agreement_page, name="agreement"),
    Route("/runs/{run}/cases/{case:path}", attempts.attempt_page, name="attempt"),
    Route("/compare", compared.compare_page, name="compare"),
    Route("/suites/{suite}", compared.history, name="history"),
    Route("/studies", studies.studies_page, name="studies"),
    Route("/studies/{study}", studies.study_page, name="study"),
]
WRITING = [
    Route("/runs/{run}/review", review.review_page, name="review"),
    Route("/runs/{run}/review/label", review.label, name="label", methods=["POST"]),
    Route("/runs/{run}/review/name", review.name_reviewer, name="name_reviewer", methods=["POST"]),
    Route("/runs/{run}/annotate", runs.annotate, name="annotate", methods=["POST"]),
    Route("/studies/{study}/annotate", studies.annotate_study, name="annotate_study", methods=["POST"]),
]
STATIC = {
    "page.css": "text/css",
    "charts.css": "text/css",
    "viewer.css": "text/css",
    "charts.js": "text/javascript",
    "viewer.js": "text/javascript",
    "plotly.js": "text/javascript",
}


def make_app(viewer: Viewer, *, hosts: Collection[str] | None = LOOPBACK, token: str | None = None) -> Starlette:
    """The application. `hosts` are the names it answers under (any when None); `token` is asked for unless None."""
    writing = WRITING if viewer.reviewer is not None else []
    app = Starlette(
        routes=[*writing, *READING, Route("/static/{name}", static)],
        middleware=[Middleware(Guard, hosts=hosts, token=token)],
        exception_handlers={HTTPException: _refused},  # type: ignore[dict-item]  # its own exception's handler
    )
    app.state.viewer = viewer
    return app


def static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        return PlainTextResponse("no such file\n", status_code=404)
    return Response(_static(name), media_type=STATIC[name], headers={"Cache-Control": "max-age=3600"})


@cache
def _static(name: str) -> bytes:
    if name == "plotly.js":
        return plotly().encode()
    if name.startswith("viewer."):
        return (files("agentbench.web") / "static" / name).read_bytes()
    return asset(name).encode()


def _refused(request: Request, error: HTTPException) -> Response:
    return page(request, "error.html", status=error.status_code, said=error.detail)
