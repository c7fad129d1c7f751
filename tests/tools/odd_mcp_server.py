"""An MCP server without the SDK, for what the SDK would not answer: over stdio as a script, over HTTP in a thread.

What a tool answers is in its name's entry of `RESULTS`; `mode` is how the server lists its tools.
"""

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TEXT = {"type": "text", "text": "fine"}
RESULTS: dict[str, Any] = {
    "fine": {"result": {"content": [TEXT]}},
    "limited": {"error": {"code": -32000, "message": "rate limited, try later"}},
    "limited_too": {"error": {"code": -32001, "message": "try later"}},
    "empty": {"result": {}},
    "without_text": {"result": {"content": [{"type": "text"}]}},
    "unknown_block": {"result": {"content": [{"type": "hologram"}]}},
    "resource": {
        "result": {
            "content": [
                {"type": "resource", "resource": {"uri": "file:///a", "text": "what stands in a"}},
                {"type": "resource", "resource": {"uri": "file:///b", "blob": "AAAA"}},
                {"type": "resource_link", "uri": "file:///c", "name": "c", "description": "the third"},
                {"type": "image", "data": "AAAA", "mimeType": "image/png"},
            ]
        }
    },
    "misfit": {"result": {"content": [TEXT], "structuredContent": {"n": "x"}}},
    "unstructured": {"result": {"content": [TEXT]}},
    "slow": None,
    "stuck": None,
    "die": None,
    "babble": None,
}
N = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOLS = [
    {"name": name, "inputSchema": {"type": "object"}, **({"outputSchema": N} if "mis" in name or "un" in name else {})}
    for name in RESULTS
]


def _babble() -> None:
    """A line without end."""
    while True:
        os.write(1, b"x" * 2**16)


class OddServer:
    """Answers one message; None for no answer."""

    def __init__(self, mode: str = "") -> None:
        self._mode = mode
        self._is_stuck = False

    def answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if "id" not in message or self._is_stuck:
            return None
        found = self._found(message["method"], message.get("params") or {})
        return None if found is None else {"jsonrpc": "2.0", "id": message["id"], **found}

    def _found(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if method == "initialize":
            info = {"name": "odd", "version": "1"}
            asked = params["protocolVersion"]
            return {"result": {"protocolVersion": asked, "capabilities": {"tools": {}}, "serverInfo": info}}
        if method == "tools/list":
            return self._listed()
        if method == "tools/call":
            if params["name"] == "die":
                os._exit(3)
            if params["name"] == "babble":
                _babble()
            self._is_stuck = params["name"] == "stuck"
            found: dict[str, Any] | None = RESULTS[params["name"]]
            return found
        return {"error": {"code": -32601, "message": "no such method"}}

    def _listed(self) -> dict[str, Any] | None:
        if self._mode == "unlisted":
            return None
        if self._mode == "mislisted":
            return {"result": {"tools": [{"name": "no schema"}]}}
        more = {"nextCursor": "again"} if self._mode == "endless" else {}
        return {"result": {"tools": TOOLS, **more}}


@contextmanager
def odd_http_server() -> Iterator[tuple[str, list[tuple[int, bytes, str]]]]:
    """Its URL, and a list: while something is in it, its first entry (status, body, content type) answers
    what is asked of the tools; ID stands for the request's."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    server = OddServer()
    refusals: list[tuple[int, bytes, str]] = []

    async def mcp(request: Request) -> Response:
        if request.method != "POST":
            return Response(status_code=405)
        message = json.loads(await request.body())
        if refusals and message["method"].startswith("tools/"):
            status, body, kind = refusals[0]
            return Response(body.replace(b"ID", str(message["id"]).encode()), status, media_type=kind)
        answer = server.answer(message)
        while answer is None and "id" in message and not await request.is_disconnected():
            await asyncio.sleep(0.01)
        headers = {"mcp-session-id": "s1"} if message["method"] == "initialize" else {}
        return JSONResponse(answer, headers=headers) if answer else Response(status_code=202)

    app = Starlette(routes=[Route("/mcp", mcp, methods=["GET", "POST", "DELETE"])])
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", refusals
    finally:
        running.should_exit = True
        thread.join()
        listener.close()


if __name__ == "__main__":
    stdio = OddServer(*sys.argv[1:])
    for line in sys.stdin:
        if reply := stdio.answer(json.loads(line)):
            print(json.dumps(reply), flush=True)
