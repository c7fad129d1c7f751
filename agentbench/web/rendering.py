"""Renders pages of the viewer from its templates."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse

from agentbench.report.html import Chart, charts_json, environment
from agentbench.report.run.view import short_id
from agentbench.web.viewer import Viewer

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def templates() -> "Environment":
    """The templates of the viewer and of reports."""
    found = environment("agentbench.web")
    found.filters["segment"] = lambda value: quote(str(value), safe="")
    found.filters["short"] = short_id
    found.globals["query"] = query
    return found


def viewer_at(request: Request) -> Viewer:
    found: Viewer = request.app.state.viewer
    return found


def query(request: Request, **changed: Any) -> str:
    """The address's query with some fields changed; None removes a field."""
    unchanged = {name: value for name, value in request.query_params.items() if name not in changed}
    new = {name: value for name, value in changed.items() if value is not None}
    return f"?{urlencode({**unchanged, **new})}"


def page(
    request: Request, name: str, *, status: int = 200, charts: Mapping[str, Chart] | None = None, **values: Any
) -> HTMLResponse:
    viewer = viewer_at(request)
    shared = {
        "request": request,
        "reviewing": viewer.reviewer is not None,
        "csrf": viewer.csrf if viewer.reviewer is not None else "",
        "charts": charts or {},
        "charts_json": charts_json(charts) if charts else "",
    }
    return HTMLResponse(templates().get_template(name).render(**shared, **values), status_code=status)
