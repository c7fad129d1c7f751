"""The leaderboard's multi-turn cases: replaying the ground truth passes, and each kind of mistake in it fails."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentbench.bfcl.dataset import BfclMultiTurnDataset
from agentbench.bfcl.multi_turn_scorer import BfclMultiTurnConfig, BfclMultiTurnScorer
from agentbench.bfcl.toolkits import parsed_call
from agentbench.core.attempt import Attempt
from agentbench.core.case import Case, Message
from agentbench.core.protocols import ChatClient, Reply, Toolbox
from agentbench.core.trace import UserTurn
from agentbench.run.runner import Job, RunContext, run_job
from agentbench.suite.config import Component, RunOptions
from agentbench.suite.suite import load_suite
from agentbench.tools import load_tools, opened_toolbox
from agentbench.users.users import ScriptedUser, ScriptedUserConfig
from tests.fakes import SayBackend

ROOT = Path(__file__).parents[2] / "suites" / "bfcl_multi_turn"
Calls = Sequence[dict[str, Any]]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(load_suite(ROOT).cases)


class Replaying:
    """Makes the given calls, those of one turn each time it is asked."""

    def __init__(self, turns: Sequence[Calls]) -> None:
        self._turns = iter(turns)

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> Reply:
        for call in next(self._turns):
            await tools.call(call["name"], call["arguments"])
        said: Message = {"role": "assistant", "content": "done"}
        return Reply(text="done", messages=(said,))


async def replayed(case: Case, turns: Sequence[Calls]) -> Attempt:
    sources = load_tools([Component(name="bfcl_toolkits")], ROOT)
    context = RunContext(
        agent=Replaying(turns),
        backend=SayBackend("unused"),
        toolbox=lambda each: opened_toolbox(sources, each),
        user=ScriptedUser(ScriptedUserConfig()),
        scorers=[BfclMultiTurnScorer(BfclMultiTurnConfig())],
        passed_by=["bfcl_multi_turn"],
        options=RunOptions(),
    )
    return await run_job(Job(case=case, repeat=0), context)


@pytest.mark.long
def test_the_category_is_whole(cases: list[Case]) -> None:
    assert len({case.id for case in cases}) == 200
    assert sum(1 + len(case.user["lines"]) for case in cases) == 734
    used = {toolkit for case in cases for toolkit in case.metadata["toolkits"]}
    assert len(used) == 8
    for case in cases:
        assert len(case.expected["turns"]) == 1 + len(case.user["lines"]) == len(case.metadata["solution"])


@pytest.mark.long
@pytest.mark.parametrize("number", [0, 45, 90, 147, 172])
async def test_the_ground_truth_replayed_passes(cases: list[Case], number: int) -> None:
    case = cases[number]
    attempt = await replayed(case, case.metadata["solution"])
    assert attempt.failure is None
    assert attempt.passed, attempt.scores
    assert len(attempt.trace.turns) == len(case.expected["turns"])


@pytest.mark.long
async def test_mistakes_are_named_with_their_turn(cases: list[Case]) -> None:
    case = cases[0]
    first, second, *rest = case.metadata["solution"]
    lazy = await replayed(case, [first, [], *rest])
    assert lazy.scores[0].reason == "turn 2: no call was made"
    elsewhere = await replayed(case, [[*first, {"name": "touch", "arguments": {"file_name": "x"}}], second, *rest])
    assert elsewhere.scores[0].reason.startswith("turn 1: the state differs: GorillaFileSystem.root is")
    unseen = await replayed(case, [first, second[:1], *rest])
    assert unseen.scores[0].reason.startswith("turn 2: no call returned")
    assert [each.passed for each in (lazy, elsewhere, unseen)] == [False] * 3
    assert [each.scores[0].value for each in (lazy, elsewhere, unseen)] == [0.25, 0, 0.25]


@pytest.mark.long
async def test_the_first_turns_alone(cases: list[Case]) -> None:
    short = BfclMultiTurnDataset(BfclMultiTurnDataset.Config(turns=2)).load(ROOT)
    assert [case.id for case in short] == [case.id for case in cases]
    for case, whole in zip(short, cases, strict=True):
        assert case.expected["turns"] == whole.expected["turns"][:2]
        assert case.user["lines"] == whole.user["lines"][:1]
    attempt = await replayed(short[0], short[0].metadata["solution"])
    assert attempt.passed
    assert len(attempt.trace.turns) == 2


async def test_a_conversation_that_broke_off_has_the_share_of_its_right_turns(cases: list[Case]) -> None:
    attempt = await replayed(cases[0], cases[0].metadata["solution"])
    at, user = next((at, step) for at, step in enumerate(attempt.trace.steps) if isinstance(step, UserTurn))
    broken = replace(attempt.trace, steps=attempt.trace.steps[:at], state=user.state)
    [score] = [await BfclMultiTurnScorer(BfclMultiTurnConfig()).score(cases[0], broken)]
    assert (score.passed, score.value) == (False, 0.25)
    assert score.reason == "the conversation ended after turn 1 of 4"


async def test_calls_that_change_nothing_and_calls_that_fail_are_no_mistake(cases: list[Case]) -> None:
    case = cases[0]
    first, *rest = case.metadata["solution"]
    more = [{"name": "ls", "arguments": {}}, {"name": "ls", "arguments": {"b": 1}}, {"name": "fly", "arguments": {}}]
    attempt = await replayed(case, [[*more, *first], *rest])
    assert attempt.passed
    told = [call.result or call.error for call in attempt.trace.tool_calls[:3]]
    assert "current_directory_content" in str(told[0])
    assert str(told[1]).startswith("Error during execution: GorillaFileSystem.ls() got an unexpected keyword")
    assert "there is no tool 'fly'" in str(told[2])


@pytest.mark.parametrize("text", ["__import__('os').system('x')", "cd(folder=open('x'))", "cd", "cd('a') + 1", "cd("])
def test_the_ground_truth_is_read_and_never_evaluated(text: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        parsed_call(text)


def test_a_call_is_read() -> None:
    assert parsed_call("f('a', 2, b=[1, {'c': None}])") == ("f", ["a", 2], {"b": [1, {"c": None}]})
