"""Parses requests: filters of lists, and visitors' tags and notes."""

from collections.abc import Callable
from typing import Any, TypeVar, get_args
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agentbench.core.errors import UserError
from agentbench.core.run import Run
from agentbench.store import Store
from agentbench.store.annotations import Notes
from agentbench.store.listing import AttemptFilter, AttemptSort, Page, RunFilter, RunSort, Verdict
from agentbench.store.studies import StudyFilter, StudySort
from agentbench.web.rendering import viewer_at

LONGEST_FORM = 100_000
"""Bytes."""

T = TypeVar("T", bound=str)


def run_named(store: Store, reference: str) -> Run:
    """The run; 404 with the command line's message when there is none."""
    try:
        return store.get_run(reference)
    except UserError as error:
        raise HTTPException(404, str(error)) from None


def requested_run(request: Request, store: Store) -> Run:
    return run_named(store, request.path_params["run"])


def integer_parameter(name: str, text: str, otherwise: int) -> int:
    """The number; `otherwise` for an empty or missing field, 400 for an invalid one."""
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise HTTPException(400, f"{name} {text[:40]!r}: expected a whole number of at most 8 digits")
    return int(text)


def requested_page(request: Request, limit: int) -> Page:
    number = request.query_params.get("page", "1")
    place = int(number) - 1 if number.isascii() and number.isdigit() and 0 < len(number) < 9 else 0
    return Page(offset=max(0, place) * limit, limit=limit)


def run_filter(request: Request) -> RunFilter:
    parameters = request.query_params
    of_studies, sort = (
        parameters.get("of_studies") == "1",
        _one_of(get_args(RunSort), parameters.get("sort"), "created_at"),
    )
    return RunFilter(of_studies=of_studies, sort=sort, **_common_filter(request))


def study_filter(request: Request) -> StudyFilter:
    sort = _one_of(get_args(StudySort), request.query_params.get("sort"), "created_at")
    return StudyFilter(sort=sort, **_common_filter(request))


def _common_filter(request: Request) -> dict[str, Any]:
    """The filter fields that lists of runs and of studies share."""
    parameters = request.query_params
    found = {name: parameters.get(name, "") for name in ("suite", "status", "tag")}
    return {**found, "text": parameters.get("q", "").strip(), "descending": parameters.get("order", "down") != "up"}


def attempt_filter(request: Request) -> AttemptFilter:
    parameters = request.query_params
    verdict = parameters.get("verdict")
    return AttemptFilter(
        text=parameters.get("q", "").strip(),
        verdict=_one_of(get_args(Verdict), verdict, "right") if verdict in get_args(Verdict) else None,
        sort=_one_of(get_args(AttemptSort), parameters.get("sort"), "stored"),
        descending=parameters.get("order", "up") == "down",
    )


def _one_of(options: tuple[T, ...], value: str | None, otherwise: T) -> T:
    return next((name for name in options if name == value), otherwise)


async def posted_form(request: Request, csrf: str) -> dict[str, str]:
    """The fields of a form sent by a page of the viewer; 403 without its token."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM:
            raise HTTPException(413, f"a form of more than {LONGEST_FORM:,} bytes")
    text = body.decode("utf-8", "replace")
    fields = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
    if not csrf or fields.get("csrf") != csrf:
        raise HTTPException(403, "the form is not of this viewer: load its page again")
    return fields


async def annotated(request: Request, notes: Notes, name_of: Callable[[Request], str], route: str) -> Response:
    """Adds or removes a tag of what `name_of` names, or writes its note; then back to its page, at `route`."""
    form = await posted_form(request, viewer_at(request).csrf)
    name = await run_in_threadpool(name_of, request)
    try:
        await run_in_threadpool(_annotate, notes, name, form)
    except UserError as error:
        raise HTTPException(400, str(error)) from None
    return RedirectResponse(request.url_for(route, **{route: name}).path, status_code=303)


def _annotate(notes: Notes, name: str, form: dict[str, str]) -> None:
    if "tag" in form:
        notes.add_tag(name, form["tag"])
    if "untag" in form:
        notes.remove_tag(name, form["untag"])
    if "note" in form:
        notes.set_note(name, form["note"].replace("\r\n", "\n"))
