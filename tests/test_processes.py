"""Which process made a run, and whether it has ended."""

import asyncio
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentbench import processes
from agentbench.process_mark import MARK_VARIABLE
from agentbench.processes import MarkedProcess, end_group, has_ended, identity
from tests.end_to_end.processes import is_running, wait_until

IDENTITY = "import json; from agentbench.processes import identity; print(json.dumps(identity()))"


@pytest.fixture(scope="module")
def ended() -> dict[str, Any]:
    """A process that was, and is not any more."""
    done = subprocess.run([sys.executable, "-c", IDENTITY], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_process_has_ended_or_not(ended: dict[str, Any]) -> None:
    assert not has_ended(identity())
    assert has_ended(ended)


def test_a_number_that_was_given_out_again_is_another_process(ended: dict[str, Any]) -> None:
    assert has_ended({**ended, "pid": os.getpid()})


def test_what_is_not_known_has_not_ended(ended: dict[str, Any]) -> None:
    assert not has_ended({})
    assert not has_ended({"host": platform.node(), "pid": "1"})
    assert not has_ended({**ended, "host": "elsewhere"})
    assert not has_ended({**ended, "pid_of": ["pid:[1]", "5"]}), "another container's"


def test_without_proc_a_pid_that_is_gone_has_ended(monkeypatch: pytest.MonkeyPatch, ended: dict[str, Any]) -> None:
    monkeypatch.setattr(processes, "_of", lambda pid: None)
    assert has_ended({"host": platform.node(), "pid": ended["pid"]})
    assert not has_ended({"host": platform.node(), "pid": os.getpid()})


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    """Nor a child that the program has started by then, which holds its pipes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = f'sleep 600 & echo "$! ${MARK_VARIABLE}" > {pipe}; wait'
    starting = asyncio.create_task(
        MarkedProcess.start("sh", "-c", script, env={"PATH": os.defpath}, stdin=-1, stdout=asyncio.subprocess.PIPE)
    )
    await asyncio.sleep(0)  # the start begins
    await asyncio.sleep(0)
    child, mark = pipe.read_text().split()  # the program runs, and our loop has not seen it
    assert mark
    starting.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert wait_until(lambda: not is_running(int(child)), 10)


async def test_a_group_is_killed_when_its_ending_is_cancelled() -> None:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", "trap '' TERM; echo; exec sleep 600"), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    await process.stdout.readline()
    waited = asyncio.Event()

    async def exited() -> int:
        waited.set()
        return await process.wait()

    ending = asyncio.create_task(end_group(process.pid, exited, 600))
    await waited.wait()
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    async with asyncio.timeout(10):
        assert await process.wait() == -9
