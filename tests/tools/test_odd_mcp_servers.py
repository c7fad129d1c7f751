"""MCP servers that answer what they should not, or nothing: whose failure it is, and that no other attempt pays."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

from agentbench.core.case import Case
from agentbench.core.errors import AttemptError, UserError
from agentbench.tools import CaseToolbox, mcp_transport, opened_toolbox
from agentbench.tools.mcp import McpConfig, McpSource
from tests.tools import odd_mcp_server
from tests.tools.odd_mcp_server import odd_http_server

CASE = Case(id="c", messages=({"role": "user", "content": "go"},))
STDIO = (sys.executable, odd_mcp_server.__file__)
Refusals = list[tuple[int, bytes, str]]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def http() -> Iterator[tuple[str, Refusals]]:
    with odd_http_server() as found:
        yield found


@pytest.fixture(params=["stdio", "http"])
def options(request: pytest.FixtureRequest, http: tuple[str, Refusals]) -> dict[str, Any]:
    return {"command": STDIO} if request.param == "stdio" else {"url": http[0]}


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[McpSource]:
    async with McpSource(McpConfig.model_validate(options), Path()) as source:
        yield source


async def error_of(tools: CaseToolbox, name: str) -> str:
    call = await tools.call(name, {})
    assert call.result is None
    return str(call.error)


async def test_an_error_of_a_server_s_own_or_a_result_that_is_none_is_that_call_s_error(
    options: dict[str, Any],
) -> None:
    async with (
        opened(**options) as source,
        opened_toolbox([source], CASE) as tools,
        opened_toolbox([source], CASE) as others,
    ):
        other = asyncio.create_task(others.call("slow", {}))
        await asyncio.sleep(0)
        assert "rate limited, try later" in await error_of(tools, "limited")
        assert "try later" in await error_of(tools, "limited_too")
        for name in ("empty", "without_text", "unknown_block"):
            assert "the server's answer is not valid MCP: content" in await error_of(tools, name)
        assert (await tools.call("fine", {})).result == "fine"
        assert not other.done(), "an attempt that shares the server goes on"
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)


async def test_embedded_text_and_links_reach_the_agent(options: dict[str, Any]) -> None:
    async with opened(**options) as source, opened_toolbox([source], CASE) as tools:
        found = (await tools.call("resource", {})).result
    assert found == "what stands in a\n[resource file:///b]\n[c](file:///c): the third\n[image]"


async def test_a_result_that_misses_its_schema_keeps_its_text(options: dict[str, Any]) -> None:
    async with opened(**options) as source, opened_toolbox([source], CASE) as tools:
        for name, why in (("misfit", "'x' is not of type 'integer'"), ("unstructured", "did not return structured")):
            found = str((await tools.call(name, {})).result)
            assert found.startswith("fine\n[not as the tool's outputSchema says: ")
            assert why in found


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("unlisted", r"did not answer within 0\.5 s$"),
        ("endless", "can't list its tools: no end after 2 pages"),
        ("mislisted", r"can't list its tools: the server's answer is not valid MCP: tools\.0\.inputSchema"),
    ],
)
async def test_tools_that_are_not_listed_are_told_before_the_run(mode: str, said: str) -> None:
    limit = 0.5 if mode == "unlisted" else 30
    with pytest.raises(UserError, match=said):
        async with opened(command=(*STDIO, mode), startup_timeout_s=limit):
            pass


async def test_a_slow_tool_is_the_call_s_error_and_a_stuck_server_a_tool_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentbench.tools.mcp_connection.PROBE_S", 0.5)
    async with opened(command=STDIO) as source:
        async with source.session(CASE) as session:
            tools = CaseToolbox([session], (), timeout_s=0.2)
            assert await error_of(tools, "slow") == "slow was not done after 0.2 s"
            with pytest.raises(AttemptError, match=r"the MCP server .* is stuck: it does not even list") as caught:
                await tools.call("stuck", {})
            assert caught.value.kind == "tool"
        async with opened_toolbox([source], CASE) as tools:
            assert (await tools.call("fine", {})).result == "fine", "it was started again"


async def test_a_server_that_got_stuck_in_an_attempt_s_last_call_is_started_again_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentbench.tools.mcp_connection.PROBE_S", 0.5)
    async with opened(command=STDIO) as source:
        async with opened_toolbox([source], CASE) as tools:
            call = asyncio.create_task(tools.call("stuck", {}))
            await asyncio.sleep(0.05)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        async with opened_toolbox([source], CASE) as tools:
            assert (await tools.call("fine", {})).result == "fine"


MESSAGE = b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "no such session"}}'


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((404, b"", "text/plain"), "ended the session: HTTP 404"),
        ((404, MESSAGE, "application/json"), "ended the session: HTTP 404: no such session"),
        ((400, b"", "text/plain"), "refused the request: HTTP 400"),
        ((400, MESSAGE, "application/json"), "refused the request: HTTP 400: no such session"),
        ((401, b'{"error": "who are you"}', "application/json"), "refused the request: HTTP 401: who are you"),
        ((200, b"", "text/event-stream"), "died: SSE stream ended without a response"),
        ((503, b"upstream is away", "text/plain"), "refused the request: HTTP 503: upstream is away"),
    ],
)
async def test_a_server_over_http_that_refuses_breaks_the_attempt_and_the_next_has_a_new_session(
    http: tuple[str, Refusals], refusal: tuple[int, bytes, str], said: str
) -> None:
    url, refusals = http
    async with opened(url=url) as source:
        async with opened_toolbox([source], CASE) as tools:
            assert (await tools.call("fine", {})).result == "fine"
            refusals.append(refusal)
            try:
                with pytest.raises(AttemptError, match=f"^the MCP server {url} {said}") as caught:
                    await tools.call("fine", {})
            finally:
                refusals.clear()
            assert caught.value.kind == "tool"
        async with opened_toolbox([source], CASE) as tools:
            assert (await tools.call("fine", {})).result == "fine"


async def test_a_refusal_with_the_protocol_s_own_error_is_the_call_s(http: tuple[str, Refusals]) -> None:
    url, refusals = http
    async with opened(url=url) as source, opened_toolbox([source], CASE) as tools:
        refusals.append((400, MESSAGE.replace(b"null", b"ID"), "application/json"))
        try:
            assert "no such session" in await error_of(tools, "fine")
        finally:
            refusals.clear()
        assert (await tools.call("fine", {})).result == "fine"


async def test_a_server_of_each_attempt_that_can_t_be_used_is_told_before_the_run() -> None:
    with pytest.raises(UserError, match="can't be used: "):
        async with opened(command=(sys.executable, "-c", ""), scope="attempt"):
            pass


async def test_a_command_s_files_are_looked_for_beside_the_suite(tmp_path: Path) -> None:
    suite = tmp_path / "suite" / "servers"
    suite.mkdir(parents=True)
    shutil.copy(odd_mcp_server.__file__, suite / "odd.py")
    config = McpConfig(command=(sys.executable, "servers/odd.py"))
    async with McpSource(config, tmp_path / "suite") as source, opened_toolbox([source], CASE) as tools:
        assert (await tools.call("fine", {})).result == "fine"


async def test_an_answer_without_end_breaks_the_attempt(
    http: tuple[str, Refusals], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, refusals = http
    async with opened(url=url) as source, opened_toolbox([source], CASE) as tools:
        monkeypatch.setattr(mcp_transport, "BODY_LIMIT", 2**20)
        refusals.append((200, b" " * 2**21, "application/json"))
        try:
            with pytest.raises(AttemptError, match="died: no end of its answer after 1 MiB"):
                await tools.call("fine", {})
        finally:
            refusals.clear()


async def test_a_line_without_end_breaks_the_attempt_and_the_next_has_a_new_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mcp_transport, "LINE_LIMIT", 2**20)
    async with opened(command=STDIO) as source:
        async with opened_toolbox([source], CASE) as tools:
            with pytest.raises(AttemptError, match="sent a message without end: a line of over 1 MiB"):
                await tools.call("babble", {})
        async with opened_toolbox([source], CASE) as tools:
            assert (await tools.call("fine", {})).result == "fine"


async def test_a_header_that_a_refusal_echoes_is_not_told(
    http: tuple[str, Refusals], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, refusals = http
    monkeypatch.setenv("MY_TOKEN", "Bearer sk-0123456789")
    async with (
        opened(url=url, headers_env={"Authorization": "MY_TOKEN"}) as source,
        opened_toolbox([source], CASE) as tools,
    ):
        refusals.append((401, b"bad token sk-0123456789", "text/plain"))
        try:
            with pytest.raises(AttemptError, match=r"HTTP 401: bad token \[secret\]$"):
                await tools.call("fine", {})
        finally:
            refusals.clear()
