"""Pages of studies: the list, and a study with its tags and note."""

from importlib.metadata import entry_points

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentbench.extras import install_hint
from agentbench.report.html import Page
from agentbench.report.lists import study_summary_json
from agentbench.report.report import Report
from agentbench.web.filters import annotated, requested_page, study_filter
from agentbench.web.rendering import page, viewer_at
from agentbench.web.viewer import Viewer

STUDIES = 50
"""On a page."""


def studies_page(request: Request) -> Response:
    studies = viewer_at(request).store.studies
    wanted, part = study_filter(request), requested_page(request, STUDIES)
    found, total = studies.listed(wanted, part)
    return page(
        request,
        "studies.html",
        rows=[study_summary_json(each) for each in found],
        tags=studies.notes.tags([each.name for each in found]),
        wanted=wanted,
        part=part,
        total=total,
        suites=studies.suites(),
        all_tags=studies.notes.all_tags(),
    )


def study_page(request: Request) -> Response:
    viewer, name = viewer_at(request), _requested_study(request)
    found = viewer.figures.page_of_study(name, lambda: _page_of(viewer, name))
    notes = viewer.store.studies.notes
    return page(
        request,
        "study.page.html",
        charts=found.charts,
        title=found.title,
        body=found.body,
        study=name,
        tags=notes.tags([name]).get(name, []),
        note=notes.note(name),
    )


async def annotate_study(request: Request) -> Response:
    return await annotated(request, viewer_at(request).store.studies.notes, _requested_study, "study")


def _requested_study(request: Request) -> str:
    """The study's name; 404 when there is none."""
    name: str = request.path_params["study"]
    if viewer_at(request).store.studies.progress(name) is None:
        raise HTTPException(404, f"no study {name!r}")
    return name


def _page_of(viewer: Viewer, name: str) -> Page:
    """The page, rendered by the package `tuners`."""
    for point in entry_points(group="agentbench.reports"):
        found: Report | None = point.load()(viewer.store, name, viewer.db)
        if found is not None:
            return found.page()
    raise HTTPException(404, f"study {name!r} can't be shown without the package tuners: {install_hint('tune')}")
