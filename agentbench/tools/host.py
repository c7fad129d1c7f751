"""The process of a hosted toolkit: `python -m agentbench.tools.host`, with JSON lines as input and output.

The first line opens the toolkit. Each later line requests a call, by the tool's name, or the state. Nothing in a line
is run as code.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from agentbench.core.case import Case
from agentbench.core.protocols import ConvertsArguments, ToolSession
from agentbench.tools.confinement import confine
from agentbench.tools.toolkit import ToolkitSession, toolkit_class

PROCESSES = 4096
"""Threads count too, and the limit applies to all processes of the user."""


async def serve(opened: Callable[[Mapping[str, Any]], Awaitable[ToolSession]]) -> None:
    """Answers requests until the input ends; `opened` makes the session from the first line."""
    # The toolkit's own output must not be read as an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    opening = json.loads(sys.stdin.readline())
    limits = opening["limits"]
    confine(limits["memory_mb"], limits["cpu_s"], PROCESSES, limits["network"])
    try:
        session = await opened(opening)
    # As in a call, an exception of the class is reported as the reason.
    except Exception as error:
        return _answer(answers, {"error": f"{type(error).__name__}: {error}"})
    specs = [{"name": s.name, "description": s.description, "parameters": s.parameters} for s in session.specs]
    _answer(answers, {"value": specs})
    for line in sys.stdin:
        _answer(answers, await _reply(session, json.loads(line)))


async def _opened(opening: Mapping[str, Any]) -> ToolkitSession:
    instance = toolkit_class(opening["target"], Path(opening["root"]))()
    session = ToolkitSession(instance, tuple(opening["include"]), tuple(opening["exclude"]))
    await session.reset(Case(**{**opening["case"], "tools": (), "messages": tuple(opening["case"]["messages"])}))
    return session


async def _reply(session: ToolSession, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        if "state" in request:
            return {"value": await session.state()}
        if "convert" in request:
            return {"value": await _converted(session, request["convert"], request["arguments"])}
        return {"value": await session.call(request["call"], request["arguments"])}
    # A toolkit may raise anything; the agent sees it as an error.
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


async def _converted(session: ToolSession, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return await session.converted(name, arguments) if isinstance(session, ConvertsArguments) else arguments


def _answer(out: Any, reply: Mapping[str, Any]) -> None:
    out.write(json.dumps(reply, default=str) + "\n")
    out.flush()


if __name__ == "__main__":
    asyncio.run(serve(_opened))
