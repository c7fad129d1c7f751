"""Code that a model wrote: what it may do, and what it may not."""

from pathlib import Path
from typing import Any

import pytest

from agentbench.tools.python import PythonConfig, PythonSource
from tests.end_to_end.processes import is_running, wait_until


async def run(code: str, **options: Any) -> str:
    return await PythonSource(PythonConfig.model_validate(options), Path()).call("run_python", {"code": code})


async def test_it_prints_and_keeps_nothing() -> None:
    assert await run("import json; print(json.dumps([1, 2]))") == "[1, 2]"
    assert await run("open('x', 'w').write('1'); import os; print(os.listdir())") == "['x']"
    assert await run("import os; print(os.listdir())") == "[]"


async def test_an_error_is_shown_with_its_exit_code() -> None:
    shown = await run("print('before')\n1 / 0")
    assert shown.startswith("before\nTraceback")
    assert shown.endswith("ZeroDivisionError: division by zero\n[exit code 1]")


async def test_it_sees_neither_our_environment_nor_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    assert "hunter2" not in await run("import os; print(dict(os.environ))")
    dialled = await run("import socket; socket.create_connection(('127.0.0.1', 9), 1)")
    assert "Network is unreachable" in dialled


@pytest.mark.long
async def test_it_is_held_to_its_limits() -> None:
    assert "MemoryError" in await run("bytearray(2**31)")
    assert (await run("while True: pass", cpu_s=1)).endswith("[ended by SIGKILL]")
    assert (await run("import time; print('on', flush=True); time.sleep(60)", timeout_s=0.5)).endswith(
        "on\n[ended: not done after 0.5 s]"
    )
    assert len(await run("print('x' * 10**6)")) == 2**16 - 1


@pytest.mark.long
async def test_what_it_starts_ends_with_it() -> None:
    code = "import os, time\npid = os.fork()\nif not pid: time.sleep(600)\nprint(pid)"
    pid = int((await run(code, timeout_s=1.0, processes=4096)).split()[0])
    assert wait_until(lambda: not is_running(pid), 10)


async def test_what_left_its_group_ends_with_it() -> None:
    code = "import subprocess, sys\n"
    code += "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True,\n"
    code += "                         stdin=-3, stdout=-3, stderr=-3)\nprint(child.pid)"
    child = int(await run(code))
    assert wait_until(lambda: not is_running(child), 10)
