"""A run that is running, told as it goes on: server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agentbench.store.listing import Progress
from agentbench.web.asked import asked_run
from agentbench.web.rendering import viewer_at

EVERY_S = 0.5
"""How often the store is asked."""

BEAT = 30
"""Times it is asked without news until a comment keeps the connection from being taken for dead."""


async def events(request: Request) -> Response:
    """`progress` whenever attempts were added, then `ended` when the run is no longer running."""
    viewer = viewer_at(request)
    run = await run_in_threadpool(asked_run, request, viewer.store)
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
    said = {"status": progress.status, "attempts": progress.attempts, "planned": planned}
    return f"event: {name}\ndata: {json.dumps(said)}\n\n"
