"""MCP servers as sources of tools: over stdio and HTTP, many attempts at once, one that is killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agentbench.agents.tool_loop import ToolLoopAgent, ToolLoopConfig
from agentbench.backends.scripted import ScriptedBackend, ScriptedConfig
from agentbench.core.case import Case
from agentbench.core.errors import AttemptError, UserError
from agentbench.run.recorder import Recorder
from agentbench.tools import opened_toolbox
from agentbench.tools.mcp import McpConfig, McpSource

SERVER = """
import asyncio, os, sys
from mcp.server import MCPServer
server = MCPServer("till")
STATE = {"balance": 0}

@server.tool()
def deposit(amount: int) -> str:
    "Put money in."
    STATE["balance"] += amount
    return f"balance {STATE['balance']}"

@server.tool()
def refuse() -> str:
    raise ValueError("not today")

@server.tool()
def pid() -> int:
    return os.getpid()

@server.tool()
async def wait() -> str:
    open(os.environ["WAITING"], "w").write(str(os.getpid()))
    await asyncio.sleep(600)
    return "done"

if len(sys.argv) > 1:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run("stdio")
"""
CASE = Case(id="c", messages=({"role": "user", "content": "go"},))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.py").write_text(SERVER)
    return (sys.executable, str(tmp_path / "server.py"))


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[McpSource]:
    async with McpSource(McpConfig.model_validate(options), Path()) as source:
        yield source


async def test_tools_of_a_server_are_called_many_at_once(server: tuple[str, ...]) -> None:
    async def attempt(source: McpSource) -> str:
        async with opened_toolbox([source], CASE) as tools:
            return str((await tools.call("deposit", '{"amount": 1}')).result)

    async with opened(command=server) as source:
        results = await asyncio.gather(*(attempt(source) for _ in range(8)))
        async with opened_toolbox([source], CASE) as tools:
            deposit = tools.specs[0]
            assert (deposit.name, deposit.description) == ("deposit", "Put money in.")
            assert deposit.parameters["properties"]["amount"]["type"] == "integer"
            refused = await tools.call("refuse", {})
            assert "McpToolError" in str(refused.error)
            assert "amount" in str((await tools.call("deposit", {"amount": "x"})).error)
            pid = int(str((await tools.call("pid", {})).result))
    assert sorted(results) == [f"balance {n}" for n in range(1, 9)]
    assert not Path(f"/proc/{pid}").exists(), "the server ends with the run"


async def test_a_server_of_each_attempt_keeps_their_states_apart(server: tuple[str, ...]) -> None:
    async with opened(
        command=server, scope="attempt", include=["de*", "pid"], exclude=["p*"], prefix="till_"
    ) as source:
        for _ in range(2):
            async with opened_toolbox([source], CASE) as tools:
                assert [spec.name for spec in tools.specs] == ["till_deposit"]
                assert (await tools.call("till_deposit", {"amount": 3})).result == "balance 3"


async def test_a_server_that_is_killed_breaks_who_used_it_and_is_started_again(
    server: tuple[str, ...], tmp_path: Path
) -> None:
    waiting = tmp_path / "waiting"
    async with opened(command=server, env={"WAITING": str(waiting)}) as source:
        async with opened_toolbox([source], CASE) as tools:
            call = asyncio.create_task(tools.call("wait", {}))
            while not waiting.exists() or not waiting.read_text():
                await asyncio.sleep(0.01)
            os.kill(int(waiting.read_text()), signal.SIGKILL)
            with pytest.raises(AttemptError, match=r"the MCP server .* died") as caught:
                await call
            assert caught.value.kind == "tool"
            with pytest.raises(AttemptError, match="has died"):
                await tools.call("pid", {})
        async with opened_toolbox([source], CASE) as tools:
            assert (await tools.call("deposit", {"amount": 1})).result == "balance 1"


async def test_a_server_over_http(server: tuple[str, ...], unused_tcp_port: int) -> None:
    process = await asyncio.create_subprocess_exec(*server, str(unused_tcp_port), stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None
        while b"running on" not in (line := await process.stderr.readline()):
            assert line, "the server did not start"
        url = f"http://127.0.0.1:{unused_tcp_port}/mcp"
        async with opened(url=url) as source, opened_toolbox([source], CASE) as tools:
            assert (await tools.call("deposit", {"amount": 2})).result == "balance 2"
            process.kill()
            await process.wait()
            with pytest.raises(AttemptError, match="died"):
                await tools.call("deposit", {"amount": 2})
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_time_server_of_the_package_index_serves_an_agent(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    convert = {"source_timezone": "Europe/Rome", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    script = {
        "replies": [
            {"when": "noon", "tool_calls": [{"name": "convert_time", "arguments": convert}]},
            {"when": "time_difference", "content": "It is evening there."},
        ]
    }
    async with opened(command=[sys.executable, "-m", "mcp_server_time"], include=["convert_*"]) as source:
        case = Case(id="tokyo", messages=({"role": "user", "content": "noon in Rome is when in Tokyo?"},))
        async with opened_toolbox([source], case) as tools:
            recorder = Recorder(ScriptedBackend(ScriptedConfig.model_validate(script)), tools, 1)
            answer = await ToolLoopAgent(ToolLoopConfig())(case, recorder, recorder)
    assert "It is evening there." in str(answer)
    [call] = recorder.trace().tool_calls
    assert call.executed
    assert call.error is None
    assert "T" in str(call.result)
    assert "Asia/Tokyo" in str(call.result)


async def test_a_server_that_does_not_start_is_told(server: tuple[str, ...], tmp_path: Path) -> None:
    for command, said in (
        (("no-such-server",), r"the MCP server no-such-server can't be used: .*No such file"),
        (
            (sys.executable, "-c", "raise SystemExit('no licence')"),
            r"can't be used: Connection closed; it said 'no lic",
        ),
    ):
        with pytest.raises(UserError, match=said):
            async with opened(command=command):
                pass
    with pytest.raises(UserError, match=r"did not answer within 0\.3 s"):
        async with opened(command=(sys.executable, "-c", "import time; time.sleep(60)"), startup_timeout_s=0.3):
            pass
    with pytest.raises(UserError, match="names NO_SUCH_TOKEN, which is not set"):
        async with opened(url="http://127.0.0.1:9/mcp", headers_env={"Authorization": "NO_SUCH_TOKEN"}):
            pass


def test_a_server_is_a_command_or_a_url() -> None:
    for options in ({}, {"command": ["x"], "url": "http://x/mcp"}):
        with pytest.raises(ValidationError, match="give either command or url"):
            McpConfig.model_validate(options)
