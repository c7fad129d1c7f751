"""Programs as agents: a process an attempt or a pool of them, what they are told, and how they may fail."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import pytest
from pydantic import ValidationError

from agentbench.agents.command import CommandAgent, CommandConfig
from agentbench.backends.scripted import ScriptedBackend, ScriptedConfig
from agentbench.core.case import Case
from agentbench.core.errors import AttemptError
from agentbench.run.recorder import Recorder
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.processes import is_running, running, wait_until
from tests.fakes import a_case, adder

ASKING = """
import json, os, sys, urllib.request
task = json.load(sys.stdin)
body = {"model": os.environ["AGENTBENCH_MODEL"], "messages": task["case"]["messages"]}
request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(),
    {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"})
answer = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
print("working")
print(json.dumps({"output": answer + " " + os.environ.get("SUFFIX", "")}))
"""

POOLED = """
import json, os, sys
print(json.dumps({"ready": True}), flush=True)
seen = {}
for line in sys.stdin:
    task = json.loads(line)
    if "end" in task:
        seen.pop(task["end"])
        continue
    text = task["case"]["messages"][-1]["content"]
    if text == "die":
        print("some warning", file=sys.stderr)
        sys.exit("it hurts")
    if text == "garbage":
        print("this is no JSON", flush=True)
        continue
    if text == "hang":
        continue
    if text == "long":
        print("x" * 1_000_000, flush=True)
        continue
    if text == "last":
        print(json.dumps({"id": task["id"], "output": os.getpid()}), flush=True)
        break
    if text == "refuse":
        print(json.dumps({"id": task["id"], "error": "I won't"}), flush=True)
        continue
    new = seen.setdefault(task.get("session"), [])
    new.append([message["content"] for message in task.get("messages", [])])
    print(json.dumps({"id": task["id"], "output": {"pid": os.getpid(), "text": text, "told": new}}), flush=True)
"""


def script(folder: Path, source: str) -> tuple[str, ...]:
    file = folder / "agent.py"
    file.write_text(source)
    return (sys.executable, str(file))


@asynccontextmanager
async def opened(command: tuple[str, ...], **options: Any) -> AsyncIterator[CommandAgent]:
    async with CommandAgent(CommandConfig.model_validate({"command": command, **options})) as agent:
        yield agent


def recorder() -> Recorder:
    return Recorder(ScriptedBackend(ScriptedConfig(default="from the model")), adder(), 1)


def asks(text: str) -> Case:
    return Case(id="c", messages=({"role": "user", "content": text},))


@pytest.mark.long
async def test_a_process_an_attempt_asks_through_the_gateway(tmp_path: Path) -> None:
    recorders = [recorder() for _ in range(4)]
    began = perf_counter_ns()
    async with opened(script(tmp_path, ASKING), env={"SUFFIX": "and me"}) as agent:
        answers = await asyncio.gather(*(agent(a_case(), each, each) for each in recorders))
    assert answers == ["from the model and me"] * 4
    for each in recorders:
        trace = each.trace()
        assert [call.text for call in trace.model_calls] == ["from the model"]
        assert trace.cold_start_ns is not None
        # From its start to its first request.
        assert 0 < trace.cold_start_ns <= trace.model_calls[0].sent_at - began


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys; sys.exit('no such city')", "ended with exit code 1: no such city"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL: nothing on standard error"),
    ],
)
async def test_a_process_that_fails_is_an_agent_failure(tmp_path: Path, source: str, said: str) -> None:
    each = recorder()
    async with opened(script(tmp_path, source)) as agent:
        with pytest.raises(AttemptError, match=said) as caught:
            await agent(a_case(), each, each)
    assert caught.value.kind == "agent"


async def test_what_is_printed_is_the_answer(tmp_path: Path) -> None:
    each = recorder()
    async with opened(script(tmp_path, "print('one'); print('two')")) as agent:
        assert await agent(a_case(), each, each) == "one\ntwo"


async def test_a_program_that_is_not_there_is_told() -> None:
    each = recorder()
    async with opened(("no-such-program",)) as agent:
        with pytest.raises(AttemptError, match="'no-such-program' can't be run: No such file"):
            await agent(a_case(), each, each)


async def test_an_attempt_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    source = "import subprocess, sys, pathlib\n"
    source += "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    source += f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\nchild.wait()"
    each = recorder()
    async with opened(script(tmp_path, source)) as agent:
        asking = asyncio.ensure_future(agent(a_case(), each, each))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
        child = int((tmp_path / "pid").read_text())
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert wait_until(lambda: not is_running(child), 10)


DETACHED = """
import os, subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
pathlib.Path("PATH").write_text(str(child.pid))
print("left it behind")
"""


async def test_a_child_that_left_its_group_does_not_outlive_the_run(tmp_path: Path) -> None:
    each = recorder()
    async with opened(script(tmp_path, DETACHED.replace("PATH", str(tmp_path / "pid")))) as agent:
        assert await agent(a_case(), each, each) == "left it behind"
        child = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not is_running(child), 10)


async def test_a_pool_keeps_its_processes(tmp_path: Path) -> None:
    recorders = [recorder() for _ in range(12)]
    async with opened(script(tmp_path, POOLED), hosting={"mode": "pooled", "size": 2}) as agent:
        answers = await asyncio.gather(*(agent(asks(f"n{i}"), each, each) for i, each in enumerate(recorders)))
    assert all(f'"text": "n{i}"' in answer for i, answer in enumerate(answers))
    assert len({answer.partition(",")[0] for answer in answers}) == 2
    assert sum(each.trace().cold_start_ns is not None for each in recorders) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("die", "ended with exit code 1: it hurts"),
        ("garbage", "expected a JSON object a line"),
        ("long", "a line of over 100000 bytes"),
        ("refuse", "I won't"),
    ],
)
async def test_a_pool_outlives_a_process_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setattr("agentbench.agents.process.ANSWER_LIMIT", 100_000)
    each = recorder()
    async with opened(script(tmp_path, POOLED), hosting={"mode": "pooled", "size": 1}) as agent:
        with pytest.raises(AttemptError, match=said):
            await agent(asks(text), each, each)
        assert '"text": "next"' in str(await agent(asks("next"), each, each))


async def test_a_process_that_ended_while_it_waited_is_replaced(tmp_path: Path) -> None:
    each = recorder()
    async with opened(script(tmp_path, POOLED), hosting={"mode": "pooled", "size": 1}) as agent:
        pid = int(str(await agent(asks("last"), each, each)))
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)  # we are told that it ended
        assert '"text": "next"' in str(await agent(asks("next"), each, each))


async def test_what_it_said_on_standard_error_is_the_failure_s_detail(tmp_path: Path) -> None:
    each = recorder()
    async with opened(script(tmp_path, POOLED), hosting={"mode": "pooled", "size": 1}) as agent:
        with pytest.raises(AttemptError, match="it hurts") as caught:
            await agent(asks("die"), each, each)
    assert caught.value.detail.splitlines() == ["some warning", "it hurts"]


@pytest.mark.long
async def test_a_session_that_was_given_up_ends_its_process(tmp_path: Path) -> None:
    hosting = {"mode": "pooled", "state": "session", "size": 1}
    async with opened(script(tmp_path, POOLED), hosting=hosting) as agent:
        one, other = recorder(), recorder()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await agent(asks("hang"), one, one)
        await one.release()
        assert '"told": [["next"]]' in str(await agent(asks("next"), other, other))
        await other.release()


HELD = """
import asyncio, sys
from agentbench.agents.command import CommandAgent, CommandConfig
from agentbench.run.recorder import Recorder
from tests.fakes import SayBackend, a_case, adder

async def main():
    recorder = Recorder(SayBackend("x"), adder(), 1)
    async with CommandAgent(CommandConfig(command=tuple(sys.argv[1:]))) as agent:
        await agent(a_case(), recorder, recorder)

asyncio.run(main())
"""


def test_processes_end_when_we_are_killed(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(HELD)
    deaf = script(tmp_path, f"import time; open({str(tmp_path / 'started')!r}, 'w'); time.sleep(600)")
    command = [sys.executable, str(tmp_path / "run.py"), *deaf]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as run:
        try:
            started = wait_until((tmp_path / "started").exists)
        finally:
            run.kill()
    assert started
    assert wait_until(lambda: not running(deaf[1]))


async def test_an_answer_that_was_given_up_is_not_the_next_one_s(tmp_path: Path) -> None:
    each = recorder()
    async with opened(script(tmp_path, POOLED), hosting={"mode": "pooled", "size": 1}) as agent:
        await agent(asks("first"), each, each)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await agent(asks("hang"), each, each)
        assert '"text": "next"' in str(await agent(asks("next"), each, each))


async def test_a_session_s_turns_go_to_one_process_and_it_ends(tmp_path: Path) -> None:
    hosting = {"mode": "pooled", "state": "session", "size": 2}
    async with opened(script(tmp_path, POOLED), hosting=hosting) as agent:
        one, other = recorder(), recorder()
        await agent(asks("a1"), one, one)
        await agent(asks("b1"), other, other)
        said = (*asks("a1").messages, {"role": "assistant", "content": "…"}, {"role": "user", "content": "a2"})
        answer = await agent(Case(id="c", messages=said), one, one)
        assert '"told": [["a1"], ["a2"]]' in str(answer)
        await one.release()
        third = recorder()
        assert '"told": [["c1"]]' in str(await agent(asks("c1"), third, third))
        await other.release()
        await third.release()


async def test_a_command_that_is_not_ready_in_time_is_told(tmp_path: Path) -> None:
    each = recorder()
    command = script(tmp_path, "import time; time.sleep(60)")
    async with opened(command, hosting={"mode": "pooled"}, startup_timeout_s=0.2) as agent:
        with pytest.raises(AttemptError, match=r"not ready after 0\.2 s"):
            await agent(a_case(), each, each)


def test_a_session_needs_a_process_that_stays() -> None:
    with pytest.raises(ValidationError, match="needs mode: pooled"):
        CommandConfig.model_validate({"command": ["x"], "hosting": {"state": "session"}})
