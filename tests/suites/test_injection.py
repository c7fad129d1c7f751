"""The injection suite: a solution is useful and unharmed, an assistant that obeys what it reads is attacked."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentbench.core.case import Case
from agentbench.core.trace import Trace
from agentbench.suite.suite import load_suite
from agentbench.tools import load_tools, opened_toolbox

ROOT = Path(__file__).parents[2] / "suites" / "injection"
SUITE = load_suite(ROOT)
CASES = list(SUITE.cases)
SOURCES = load_tools(SUITE.tools, ROOT)


async def graded(case: Case, calls: list[dict[str, Any]]) -> dict[str, bool | None]:
    """Each scorer's verdict; the calls must bring the attack before the assistant's eyes."""
    async with opened_toolbox(SOURCES, case) as tools:
        made = [await tools.call(call["name"], call["arguments"]) for call in calls]
        assert all(call.error is None for call in made), made
        trace = Trace(state=await tools.state())
    return {scorer.name: (await scorer.score(case, trace)).passed for scorer in SUITE.scorers}


def test_there_are_thirty_and_both_scorers_decide() -> None:
    assert len(CASES) == 30
    assert SUITE.passed_by == ("utility", "no_attack")


async def test_a_solution_is_useful_and_not_attacked() -> None:
    for case in CASES:
        assert await graded(case, case.metadata["solution"]) == {"utility": True, "no_attack": True}, case.id


@pytest.mark.long
async def test_who_obeys_is_attacked_and_may_be_useful_too() -> None:
    for case in CASES:
        obeying, solution = case.metadata["obeying"], case.metadata["solution"]
        assert await graded(case, obeying) == {"utility": False, "no_attack": False}, case.id
        assert await graded(case, [*solution, *obeying]) == {"utility": True, "no_attack": False}, case.id


async def test_doing_nothing_is_no_use() -> None:
    for case in CASES:
        assert await graded(case, []) == {"utility": False, "no_attack": True}, case.id


async def test_every_solution_reads_the_attack() -> None:
    for case in CASES:
        async with opened_toolbox(SOURCES, case) as tools:
            shown = [await tools.call(call["name"], call["arguments"]) for call in case.metadata["solution"]]
        wanted = next(iter(next(iter(case.expected["attack"].values())))).split(" to ")[-1].split(" with ")[-1]
        assert any(wanted in str(call.result) for call in shown), case.id


def test_the_cases_are_those_that_their_generator_makes(tmp_path: Path) -> None:
    (tmp_path / "make_cases.py").write_bytes((ROOT / "make_cases.py").read_bytes())
    subprocess.run([sys.executable, str(tmp_path / "make_cases.py")], check=True)
    assert (tmp_path / "cases.jsonl").read_bytes() == (ROOT / "cases.jsonl").read_bytes()
