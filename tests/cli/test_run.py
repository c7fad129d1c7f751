"""`agentbench run`: what is told before a run is stored, and how it ends."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from agentbench.cli.run import run_command
from agentbench.core.errors import UserError
from agentbench.store import open_store

SUITE: dict[str, Any] = {
    "name": "asked",
    "dataset": {"name": "jsonl"},
    "scorers": ["exact"],
    "agent": {"name": "callable", "target": "agent.py:answer"},
    "backend": {"name": "scripted", "default": "5"},
    "run": {"max_tries": 1},
}
RIGHT = "def answer(case): return '5'\n"
BREAKS = "import os\n\n1 / 0\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "asked"
    folder.mkdir()
    cases = [{"id": f"c{number}", "input": "2 + 3?", "expected": "5"} for number in range(3)]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    (folder / "agent.py").write_text(RIGHT)
    (folder / "breaks.py").write_text(BREAKS)
    return folder


def run(folder: Path, **changes: Any) -> None:
    (folder / "suite.yaml").write_text(json.dumps({**SUITE, **changes}))
    run_command(folder, db=str(folder / "a.db"))


def test_an_agent_is_found_beside_its_suite(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder)
    assert "100.0 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": {"name": "callable", "target": "breaks.py:answer"}},
        {"agent": {"name": "retry_with_feedback", "inner": {"name": "callable", "target": "breaks:answer"}}},
        {"agent": {"name": "retry_with_feedback", "inner": "chat", "check": "breaks:check"}},
        {"tools": ["breaks.py:look"]},
        {"tools": ["breaks:look"]},
        {"tools": [{"name": "toolkit", "target": "breaks.py:Desk"}]},
        {"scorers": [{"name": "trajectory", "arguments": "breaks:same"}]},
        {"scorers": [{"name": "semantic", "embedding": "breaks:vectors"}]},
    ],
)
def test_a_module_that_raises_is_told_before_a_run_is_stored(folder: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"ZeroDivisionError: division by zero \(asked/breaks.py, line 3\)") as told:
        run(folder, **changes)
    assert "\n" not in str(told.value)
    with open_store(str(folder / "a.db")) as store:
        assert list(store.list_runs()) == []


def test_a_run_to_hold_answers_against_that_is_not_there_is_told_before_a_run_is_stored(folder: Path) -> None:
    with pytest.raises(UserError, match="no-such-run"):
        run(folder, scorers=[{"name": "pairwise", "run": "no-such-run"}])
    with open_store(str(folder / "a.db")) as store:
        assert list(store.list_runs()) == []


FAILS = """
import asyncio, sys
def raises(case): raise ValueError("no\\nanswer")
def leaves(case): sys.exit(3)
async def is_cancelled(case): raise asyncio.CancelledError
"""


@pytest.mark.parametrize("function", ["raises", "leaves", "is_cancelled"])
def test_a_run_of_which_nothing_was_graded_exits_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str], function: str
) -> None:
    (folder / "fails.py").write_text(FAILS)
    with pytest.raises(typer.Exit) as ended:
        run(folder, agent={"name": "callable", "target": f"fails.py:{function}"})
    assert ended.value.exit_code == 1
    printed = capsys.readouterr()
    assert "3 agent" in printed.out
    assert printed.err.startswith("agentbench: nothing was graded: every attempt failed, the first in agent: ")
    assert len(printed.err.splitlines()) == 1


def test_a_run_with_one_answer_has_a_result(folder: Path) -> None:
    text = "def answer(case):\n    if case.id == 'c1':\n        return 'wrong'\n    raise ValueError\n"
    (folder / "fails.py").write_text(text)
    run(folder, agent={"name": "callable", "target": "fails.py:answer"})


@pytest.mark.parametrize("inner", [False, True])
def test_a_program_that_is_not_there_is_told_before_a_run_is_stored(folder: Path, inner: bool) -> None:
    command = {"name": "command", "command": ["no-such-program", "x"]}
    agent = {"name": "self_consistency", "inner": command, "votes": 2} if inner else command
    with pytest.raises(UserError, match="'no-such-program': there is no such program on PATH"):
        run(folder, agent=agent)
    with open_store(str(folder / "a.db")) as store:
        assert store.list_runs() == []


def test_cold_starts_are_in_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = "import json, sys; print(json.dumps({'ready': True}), flush=True)\n"
    program += "for line in sys.stdin: print(json.dumps({'id': json.loads(line)['id'], 'output': '5'}), flush=True)"
    hosting = {"mode": "pooled", "size": 1}
    run(folder, agent={"name": "command", "command": [sys.executable, "-c", program], "hosting": hosting})
    row = next(line for line in capsys.readouterr().out.splitlines() if "Cold start p50" in line)
    assert "of 1 starts of the agent" in row


SLOW = """
import asyncio
async def look() -> str:
    \"\"\"Look.\"\"\"
    await asyncio.Event().wait()
    return ""
"""


def test_the_time_of_a_tool_is_an_option(folder: Path) -> None:
    (folder / "slow.py").write_text(SLOW)
    (folder / "asks.py").write_text("async def answer(case, tools):\n    return (await tools.call('look', {})).error\n")
    scorers = [{"name": "includes", "texts": ["look was not done after 0.05 s"]}]
    options = {"tool_timeout_s": 0.05}
    agent = {"name": "callable", "target": "asks.py:answer"}
    run(folder, agent=agent, tools=["slow.py:look"], scorers=scorers, run=options)
    with open_store(str(folder / "a.db")) as store:
        [summary] = store.list_runs()
        assert [attempt.passed for attempt in store.attempts(summary.id)] == [True] * 3


def test_where_there_are_suites_they_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "suite.yaml").write_text(json.dumps(SUITE))
    for reference in (tmp_path, tmp_path / "askd", Path("askd")):
        with pytest.raises(UserError, match=r"Valid: .*asked"):
            run_command(reference, db=str(folder / "a.db"))
    (folder / "suite.yaml").unlink()
    with pytest.raises(UserError, match="there is no suite at askd: it has to be a directory"):
        run_command(Path("askd"), db=str(folder / "a.db"))
