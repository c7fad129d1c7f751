"""Servers and tools that fail: `run` and pytest end in time, say whose failure it was, and grade nothing."""

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.http import wire
from agentbench.store import open_store
from agentbench.tools import mcp_connection
from tests.tools import odd_mcp_server

pytest_plugins = ["pytester"]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "la "}, "finish_reason": null}]}\n\n' * 500
MCP = f"{sys.executable}, {odd_mcp_server.__file__}"
"""As in a list of YAML."""

Answer = Callable[[asyncio.StreamWriter], Any]


async def wrong_key(writer: asyncio.StreamWriter) -> None:
    body = b'{"error": {"message": "who are you"}}'
    writer.write(b"HTTP/1.1 401 X\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
        await writer.drain()


@contextmanager
def model_server(answer: Answer) -> Iterator[str]:
    """A server whose list of models is open and that answers all else with `answer`, in a thread of its own."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")
            else:
                await answer(writer)
        with suppress(ConnectionError):
            writer.close()

    async def serve() -> None:
        stop = asyncio.Event()
        stops.append(partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set))
        server = await asyncio.start_server(handle, sock=listener)
        started.set()
        await stop.wait()
        server.close()

    stops: list[Callable[[], object]] = []
    started = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        stops[0]()
        thread.join()


SUITE = """
name: numbers
mode: gate
dataset: {{name: jsonl, path: cases.jsonl}}
scorers: [{{name: includes}}]
run: {{timeout_s: {limit_s}, backoff_s: 0, concurrency: 2}}
{rest}
"""
CASES = "".join(f'{{"id": "c{n}", "input": "go", "expected": "fine"}}\n' for n in range(2))


def write(folder: Path, rest: str, limit_s: float) -> None:
    folder.mkdir()
    (folder / "suite.yaml").write_text(SUITE.format(limit_s=limit_s, rest=rest))
    (folder / "cases.jsonl").write_text(CASES)


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTBENCH_DB", str(pytester.path / "store.db"))
    monkeypatch.setattr(wire, "BODY_LIMIT", 2**20)
    monkeypatch.setattr(mcp_connection, "PROBE_S", 0.5)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return pytester.path / "numbers"


def by_url(url: str) -> str:
    return f"agent: chat\nserving: {{server: url, base_url: '{url}', model: m}}\n"


def by_mcp(tool: str, *mode: str, startup_timeout_s: float = 20) -> str:
    called = "{name: " + tool + "}"
    return (
        "agent: tool_loop\n"
        f"backend: {{name: scripted, replies: [{{when: go, tool_calls: [{called}]}}], default: fine}}\n"
        f"tools: [{{name: mcp, command: [{', '.join((MCP, *mode))}], startup_timeout_s: {startup_timeout_s}}}]\n"
    )


KINDS: dict[str, tuple[Callable[[str], str], Answer | None, str]] = {
    "wrong key": (by_url, wrong_key, "the model server refuses the run's requests: HTTP 401: who are you."),
    "endless stream": (
        by_url,
        endless,
        "infra failure of the model server or the network, 2 of 2  no answer from http://127.0.0.1:",
    ),
    "dead MCP server": (lambda url: by_mcp("die"), None, "tool failure, 2 of 2  the MCP server "),
    "MCP server that lists no tools": (
        lambda url: by_mcp("fine", "unlisted", startup_timeout_s=0.5),
        None,
        " unlisted did not answer within 0.5 s",
    ),
    "stuck MCP server": (lambda url: by_mcp("stuck"), None, "tool failure, 2 of 2  the MCP server "),
}


@pytest.fixture(params=KINDS)
def said(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """What has to be told of the suite in `folder`."""
    rest, answer, line = KINDS[request.param]
    with model_server(answer) if answer else nullcontext("") as url:
        write(folder, rest(url), 1 if "stuck" in request.param else 20)
        yield line


def nothing_is_graded(store: Path) -> bool:
    """And of a tool that failed, the call is there that it failed in."""
    with open_store(str(store)) as opened:
        found = [attempt for run in opened.list_runs() for attempt in opened.attempts(run.id)]
    kinds = {attempt.failure.kind if attempt.failure else "" for attempt in found}
    return kinds <= {"infra", "tool"} and all(len(attempt.trace.tool_calls) == ("tool" in kinds) for attempt in found)


def test_a_run_ends_and_tells_whose_failure_it_was(folder: Path, said: str) -> None:
    result = CliRunner().invoke(app, ["run", str(folder)])
    assert said in " ".join(f"{result.output}{result.exception}".split("\n"))
    assert nothing_is_graded(folder.parent / "store.db")


def test_pytest_ends_and_tells_whose_failure_it_was(folder: Path, said: str, pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("numbers")
    assert said in " ".join(result.outlines)
    assert result.ret == 1
    assert "passed" not in result.parseoutcomes()
    assert nothing_is_graded(folder.parent / "store.db")
