"""The ledger suite: its solutions reach the expected states, doing nothing does not, and breaking the policy shows."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentbench.core.case import Case
from agentbench.core.trace import Trace
from agentbench.scorers.end_state import EndStateConfig, EndStateScorer
from agentbench.suite.suite import load_suite
from agentbench.tools import load_tools, opened_toolbox

ROOT = Path(__file__).parents[2] / "suites" / "ledger"
SUITE = load_suite(ROOT)
CASES = list(SUITE.cases)
SOURCES = load_tools(SUITE.tools, ROOT)
FORBIDDEN = [case for case in CASES if case.metadata["forbidden"]]


async def passes(case: Case, calls: list[dict[str, Any]]) -> bool | None:
    async with opened_toolbox(SOURCES, case) as tools:
        for call in calls:
            made = await tools.call(call["name"], call["arguments"])
            assert made.error is None, made
        trace = Trace(state=await tools.state())
    return (await EndStateScorer(EndStateConfig()).score(case, trace)).passed


def test_there_are_forty_of_which_a_third_is_forbidden() -> None:
    assert len(CASES) == 40
    assert len(FORBIDDEN) == 13
    assert sum(bool(case.user) for case in CASES) == 4


async def test_every_solution_reaches_its_expected_state() -> None:
    for case in CASES:
        assert await passes(case, case.metadata["solution"]), case.id


async def test_doing_nothing_is_right_only_where_the_policy_forbids_the_request() -> None:
    for case in CASES:
        assert await passes(case, []) is case.metadata["forbidden"], case.id


async def test_a_change_without_verification_is_not_the_same_change() -> None:
    for case in CASES:
        calls = [call for call in case.metadata["solution"] if call["name"] != "verify_identity"]
        if not case.metadata["forbidden"]:
            assert not await passes(case, calls), case.id


@pytest.mark.parametrize("case", FORBIDDEN, ids=lambda case: case.id)
async def test_doing_what_is_forbidden_shows(case: Case) -> None:
    desk = case.metadata["desk"]
    owner = next(c for c, data in desk["customers"].items() if data["name"] in str(case.messages[0]["content"]))
    other = next(account for account, data in desk["accounts"].items() if data["owner"] != owner)
    target = other if case.id.startswith("over") else f"A{owner}2"
    if case.id.startswith("old_dispute"):
        bad = {"name": "open_dispute", "arguments": {"transaction_id": desk["transactions"][0]["id"]}}
    else:
        bad = {"name": "transfer", "arguments": {"from_account": f"A{owner}1", "to_account": target, "amount": 100}}
    assert not await passes(case, [*case.metadata["solution"], bad])


def test_the_cases_are_those_that_their_generator_makes(tmp_path: Path) -> None:
    for name in ("make_cases.py", "desk.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, str(tmp_path / "make_cases.py")], check=True)
    assert (tmp_path / "cases.jsonl").read_bytes() == (ROOT / "cases.jsonl").read_bytes()
