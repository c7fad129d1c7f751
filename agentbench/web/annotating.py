"""Tags and notes that visitors write."""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agentbench.errors import UserError
from agentbench.store.notes import Notes
from agentbench.web.asked import asked_form
from agentbench.web.rendering import viewer_at


async def annotated(request: Request, notes: Notes, asked: Callable[[Request], str], route: str) -> Response:
    """Adds or removes a tag of what is `asked` for, or writes its note; then back to its page, at `route`."""
    form = await asked_form(request, viewer_at(request).csrf)
    name = await run_in_threadpool(asked, request)
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
