"""A real HTTP server that streams a fixed answer in OpenAI's form, with failures on request."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


def _chunk(delta: dict[str, Any], **rest: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": rest.pop("finish_reason", None)}
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **rest}
    return f"data: {json.dumps(body)}\n\n"


def _usage(tokens: int) -> dict[str, Any]:
    counts = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}
    return {**counts, "prompt_tokens_details": {"cached_tokens": 1}}


async def _hello() -> AsyncIterator[str]:
    yield _chunk({"role": "assistant", "content": ""}, usage=_usage(0))
    yield _chunk({"content": "hello "}, usage=_usage(1))
    await asyncio.sleep(0)
    yield _chunk({"content": "world"}, usage=_usage(2))
    yield _chunk({}, finish_reason="stop", usage=_usage(2))
    yield "data: [DONE]\n\n"


async def _cut_off() -> AsyncIterator[str]:
    yield _chunk({"content": "hel"})


async def _gives_up() -> AsyncIterator[str]:
    yield _chunk({"content": "hel"})
    yield 'data: {"error": {"message": "out of memory"}}\n\n'


async def _hangs() -> AsyncIterator[str]:
    yield _chunk({"content": "hel"})
    await asyncio.sleep(30)


async def _tool_call() -> AsyncIterator[str]:
    def fragment(index: int, **rest: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, **rest}]}

    yield _chunk({"role": "assistant", "content": None})
    yield _chunk({"reasoning_content": "let me see"})
    for index, name in enumerate(("f", "g")):
        start = {"name": name, "arguments": ""}
        yield _chunk(fragment(index, id=f"call_{index}", type="function", function=start))
        yield _chunk(fragment(index, function={"arguments": '{"a":'}))
        yield _chunk(fragment(index, function={"arguments": " 1}"}))
    yield _chunk({}, finish_reason="tool_calls")
    yield "data: [DONE]\n\n"


async def _unnumbered() -> AsyncIterator[str]:
    for number in (1, 2):
        function = {"name": "look", "arguments": f'{{"n": {number}}}'}
        yield _chunk({"tool_calls": [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]})
    yield _chunk({}, finish_reason="tool_calls")
    yield "data: [DONE]\n\n"


STREAMS = {"cut": _cut_off, "gives up": _gives_up, "hangs": _hangs, "tools": _tool_call, "unnumbered": _unnumbered}


async def _chat(request: Request) -> Response:
    body = await request.json()
    asked = body["messages"][-1]["content"]
    if asked.startswith("status "):
        code = int(asked.split()[1])
        return JSONResponse({"error": {"message": "no luck", "type": "t", "code": None, "param": None}}, code)
    if asked == "whole":
        message = {"role": "assistant", "content": "hello world"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse({"id": "x", "object": "chat.completion", "choices": [choice], "usage": _usage(2)})
    stream = STREAMS.get(asked, _hello)
    return StreamingResponse(stream(), media_type="text/event-stream")


async def _models(request: Request) -> Response:
    if request.headers.get("authorization") == "Bearer wrong":
        return JSONResponse({"error": {"message": "bad key"}}, 401)
    return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "x"}]})


@contextmanager
def chat_server() -> Iterator[str]:
    """Its base URL, for as long as the context lasts."""
    routes = [Route("/v1/chat/completions", _chat, methods=["POST"]), Route("/v1/models", _models)]
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
