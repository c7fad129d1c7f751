"""Stateful toolkits: a fresh instance an attempt, in our process or in one of its own."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agentbench.core.case import Case
from agentbench.core.errors import AttemptError, UserError
from agentbench.tools import CaseToolbox, opened_toolbox
from agentbench.tools.toolkit import ToolkitConfig, ToolkitSource
from tests.end_to_end.processes import is_running, wait_until

DESK = '''
import os, socket, subprocess, sys, time

class Desk:
    """A till."""

    def __init__(self) -> None:
        self.balance = 0
        self._secret = 1

    def reset(self, case) -> None:
        self.balance = case.metadata["balance"]

    def deposit(self, amount: int) -> str:
        """Put money in.

        Args:
            amount: In cents.
        """
        if amount < 0:
            raise ValueError("amount is below 0")
        self.balance += amount
        return f"balance {self.balance}"

    async def pid(self) -> int:
        return os.getpid()

    def crash(self) -> None:
        os._exit(3)

    def hang(self) -> None:
        time.sleep(600)

    def dial(self) -> str:
        socket.create_connection(("127.0.0.1", 9), timeout=1)
        return "connected"

    def eat(self) -> int:
        return len(bytearray(4 * 2**30))

    def leave(self) -> int:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True,
                                 stdin=-3, stdout=-3, stderr=-3)
        return child.pid

    def shout(self) -> str:
        return "a" * (40 * 2**20)

    def _hidden(self) -> None: ...

    def state(self) -> dict:
        return {"balance": self.balance}

class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no till")
'''

LATER = ["leave", "shout"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "desk.py").write_text(DESK)
    return tmp_path


def source(root: Path, **options: Any) -> ToolkitSource:
    return ToolkitSource(ToolkitConfig.model_validate({"target": "desk.py:Desk", **options}), root)


def a_case(balance: int) -> Case:
    return Case(id=f"b{balance}", messages=(), metadata={"balance": balance})


@pytest.mark.long
@pytest.mark.parametrize("process", [False, True])
async def test_attempts_at_once_have_a_state_of_their_own(root: Path, process: bool) -> None:
    desk = source(root, process=process)

    async def attempt(balance: int) -> tuple[CaseToolbox, Any, Any]:
        async with opened_toolbox([desk], a_case(balance)) as tools:
            before = await tools.state()
            await tools.call("deposit", {"amount": 1})
            call = await tools.call("deposit", '{"amount": 1}')
            assert call.result == f"balance {balance + 2}"
            return tools, before, await tools.state()

    for balance, (tools, before, after) in enumerate(await asyncio.gather(*(attempt(b) for b in range(3)))):
        assert (before, after) == ({"balance": balance}, {"balance": balance + 2})
        spec = tools.specs[0]
        assert (spec.name, spec.description) == ("deposit", "Put money in.")
        assert spec.parameters["properties"]["amount"] == {"type": "integer", "description": "In cents."}
        assert [each.name for each in tools.specs] == ["deposit", "pid", "crash", "hang", "dial", "eat", *LATER]


@pytest.mark.parametrize("process", [False, True])
async def test_what_a_tool_raises_is_told(root: Path, process: bool) -> None:
    async with opened_toolbox([source(root, process=process)], a_case(1)) as tools:
        assert "ValueError: amount is below 0" in str((await tools.call("deposit", {"amount": -1})).error)
        assert "amount" in str((await tools.call("deposit", {"amount": "x"})).error)
        assert (await tools.call("deposit", {"amount": 4})).result == "balance 5"


async def test_methods_are_chosen_by_name(root: Path) -> None:
    async with opened_toolbox([source(root, include=["d*", "eat"], exclude=["dial"])], a_case(0)) as tools:
        assert [each.name for each in tools.specs] == ["deposit", "eat"]


@pytest.mark.long
async def test_a_process_that_dies_breaks_its_attempt_only(root: Path) -> None:
    desk = source(root, process=True)
    async with opened_toolbox([desk], a_case(1)) as one, opened_toolbox([desk], a_case(2)) as other:
        with pytest.raises(AttemptError, match=r"the process of desk\.py:Desk died \(exit code 3\)") as caught:
            await one.call("crash", {})
        assert caught.value.kind == "tool"
        assert (await other.call("deposit", {"amount": 1})).result == "balance 3"


async def test_a_process_is_held_to_its_limits(root: Path) -> None:
    desk = source(root, process=True)
    async with opened_toolbox([desk], a_case(1)) as tools:
        assert "MemoryError" in str((await tools.call("eat", {})).error)
        assert "unreachable" in str((await tools.call("dial", {})).error)


async def test_what_left_the_group_of_a_process_ends_with_it(root: Path) -> None:
    desk = source(root, process=True, limits={"memory_mb": 4096})
    async with opened_toolbox([desk], a_case(1)) as tools:
        child = int(str((await tools.call("leave", {})).result))
        assert is_running(child)
    assert wait_until(lambda: not is_running(child), 10)


@pytest.mark.long
async def test_an_answer_over_the_limit_breaks_the_attempt(root: Path) -> None:
    desk = source(root, process=True, limits={"memory_mb": 4096})
    async with opened_toolbox([desk], a_case(1)) as tools:
        with pytest.raises(AttemptError, match=r"the process of desk\.py:Desk broke: "):
            await tools.call("shout", {})


@pytest.mark.long
async def test_a_process_that_hangs_is_ended_and_the_call_says_so(root: Path) -> None:
    async with source(root, process=True).session(a_case(1)) as session:
        tools = CaseToolbox([session], (), timeout_s=0.3)
        assert (await tools.call("hang", {})).error == "hang was not done after 0.3 s"
        with pytest.raises(AttemptError, match="has ended"):
            await tools.call("pid", {})


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("desk.py:Till", "has no class 'Till'"),
        ("desk.py:os", "has no class 'os'"),
        ("till.py:Desk", "there is no file"),
        ("json:dumps", "is a function, not a class"),
    ],
)
def test_a_target_that_is_no_class_is_told(root: Path, target: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        source(root, target=target)


async def test_a_class_that_can_t_be_made_is_told_from_its_process_too(root: Path) -> None:
    broken = source(root, target="desk.py:Broken", process=True)
    with pytest.raises(Exception, match="RuntimeError: no till"):
        async with opened_toolbox([broken], a_case(1)):
            pass


async def test_a_state_is_not_changed_by_what_comes_after(root: Path) -> None:
    (root / "desk.py").write_text(
        "class Desk:\n    def __init__(self): self.log = []\n"
        "    def add(self, x: int) -> None: self.log.append(x)\n    def state(self): return self.log\n"
    )
    async with opened_toolbox([source(root)], a_case(0)) as tools:
        before = await tools.state()
        await tools.call("add", {"x": 1})
        assert (before, json.dumps(await tools.state())) == ([], "[1]")


@pytest.mark.parametrize("process", [False, True])
async def test_arguments_are_recorded_as_the_method_ran_with_them(root: Path, process: bool) -> None:
    async with opened_toolbox([source(root, process=process)], a_case(1)) as tools:
        call = await tools.call("deposit", {"amount": "2"})
    assert (call.result, call.arguments) == ("balance 3", {"amount": 2})
