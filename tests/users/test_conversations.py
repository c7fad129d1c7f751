"""Cases of several turns: the user's part, the agent's, and whose failure is whose."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from agentbench.agents.tool_loop import ToolLoopAgent, ToolLoopConfig
from agentbench.backends.scripted import ScriptedBackend, ScriptedConfig
from agentbench.core.attempt import Attempt
from agentbench.core.case import Case, Message
from agentbench.core.protocols import Agent, Backend, Toolbox, User
from agentbench.core.trace import ModelCall, UserTurn
from agentbench.run.runner import Job, RunContext, run_job
from agentbench.scorers.end_state import EndStateConfig, EndStateScorer
from agentbench.stats.outcomes import meets, outcome_of
from agentbench.store import open_store
from agentbench.suite.config import RunOptions
from agentbench.testing.store_samples import a_run
from agentbench.tools import opened_toolbox
from agentbench.tools.toolkit import ToolkitConfig, ToolkitSource
from agentbench.users.users import ModelUser, ModelUserConfig, ScriptedUser, ScriptedUserConfig
from tests.fakes import SayBackend

TILL = """
class Till:
    def reset(self, case): self.balance = 0
    def deposit(self, amount: int) -> str:
        self.balance += amount
        return f"now {self.balance}"
    def state(self): return {"balance": self.balance}
"""
REPLIES = [
    {"when": "now 5", "content": "You have 5."},
    {"when": "now 8", "content": "You have 8."},
    {"when": "put 5", "tool_calls": [{"name": "deposit", "arguments": {"amount": 5}}]},
    {"when": "and 3", "tool_calls": [{"name": "deposit", "arguments": {"amount": 3}}]},
]


@pytest.fixture
def till(tmp_path: Path) -> ToolkitSource:
    (tmp_path / "till.py").write_text(TILL)
    return ToolkitSource(ToolkitConfig(target="till.py:Till"), tmp_path)


async def attempt(case: Case, user: User, till: ToolkitSource, backend: Backend, **options: Any) -> Attempt:
    def toolbox(case: Case) -> AbstractAsyncContextManager[Toolbox]:
        return opened_toolbox([till], case)

    agent: Agent = ToolLoopAgent(ToolLoopConfig())
    context = RunContext(
        agent=agent,
        backend=backend,
        toolbox=toolbox,
        user=user,
        scorers=[EndStateScorer(EndStateConfig())],
        passed_by=("end_state",),
        options=RunOptions.model_validate({"max_tries": 1, **options}),
    )
    return await run_job(Job(case=case, repeat=0), context)


def case(**user: Any) -> Case:
    message = {"role": "user", "content": "put 5 in"}
    return Case(id="c", messages=(message,), expected={"state": {"balance": 8}}, user=user)


def scripted() -> ScriptedBackend:
    return ScriptedBackend(ScriptedConfig.model_validate({"replies": REPLIES}))


async def test_scripted_lines_are_said_after_each_answer(till: ToolkitSource, tmp_path: Path) -> None:
    found = await attempt(case(lines=["and 3"]), ScriptedUser(ScriptedUserConfig()), till, scripted())
    assert found.passed is True
    assert (found.trace.output, found.trace.state) == ("You have 8.", {"balance": 8})
    [turn] = [step for step in found.trace.steps if isinstance(step, UserTurn)]
    assert (turn.messages, turn.state) == (({"role": "user", "content": "and 3"},), {"balance": 5})
    first, second = found.trace.turns
    assert [len(first), len(second)] == [3, 3]
    last = found.trace.model_calls[-1]
    assert [message["role"] for message in last.messages] == [
        *("user", "assistant", "tool", "assistant"),
        *("user", "assistant", "tool"),
    ]
    with open_store(str(tmp_path / "s.db")) as store:
        store.create_run(a_run())
        store.add_attempt("run-1", found, case(lines=["and 3"]))
        assert store.attempts("run-1") == [found]
        assert store.case("run-1", "c").user == {"lines": ["and 3"]}


async def test_a_model_plays_the_user_and_is_not_in_the_agent_s_trace(till: ToolkitSource) -> None:
    user = ModelUser(ModelUserConfig(goal="8 in the till"))
    asked = SayBackend("and 3", "###STOP###")
    user.use(asked)
    found = await attempt(case(persona="You are in a hurry."), user, till, scripted())
    assert found.passed is True
    assert len(found.trace.model_calls) == 4, "the agent's"
    prompt = asked.requests[0].messages[0]["content"]
    assert "You are in a hurry.\nYour goal: 8 in the till" in prompt
    assert [message["role"] for message in asked.requests[1].messages] == [
        "system",
        *("assistant", "user", "assistant", "user"),
    ]
    assert asked.requests[0].seed != asked.requests[1].seed


async def test_a_user_that_fails_is_not_the_agent_s_failure(till: ToolkitSource) -> None:
    user = ModelUser(ModelUserConfig())
    user.use(ScriptedBackend(ScriptedConfig.model_validate({"replies": [{"fail": "gone"}]})))
    found = await attempt(case(goal="x"), user, till, scripted())
    assert found.failure is not None
    assert (found.failure.kind, found.failure.message) == ("infra", "the simulated user: gone")


async def test_a_user_that_never_stops_is_stopped(till: ToolkitSource) -> None:
    user = ModelUser(ModelUserConfig(max_turns=2))
    user.use(SayBackend("and 3"))
    found = await attempt(case(goal="x"), user, till, scripted())
    assert found.failure is None
    assert found.trace.state == {"balance": 11}


async def test_the_user_s_time_is_not_the_attempt_s(till: ToolkitSource) -> None:
    class Slow(ScriptedUser):
        def session(self, case: Case, seed: int) -> Any:
            inner = super().session(case, seed)

            class Session:
                async def say(self, conversation: Sequence[Message]) -> tuple[Message, ...]:
                    import asyncio

                    await asyncio.sleep(0.1)
                    return await inner.say(conversation)

            return Session()

    found = await attempt(case(lines=["and 3"]), Slow(ScriptedUserConfig()), till, scripted())
    assert not any(isinstance(step, ModelCall) and step.error for step in found.trace.steps)
    turns = [step.ended_at - step.started_at for step in found.trace.steps if isinstance(step, UserTurn)]
    outcome = outcome_of(found)
    assert sum(turns) >= 0.1e9
    assert outcome.agent_s == pytest.approx((found.ended_at - found.started_at - sum(turns)) / 1e9)
    assert meets(outcome, {"latency": outcome.agent_s})
    assert not meets(outcome, {"latency": outcome.agent_s - 1e-3})


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"model_calls": 1}, "run.limits.model_calls=1"),
        ({"tool_calls": 0}, "run.limits.tool_calls=0"),
        ({"tokens": 1}, "run.limits.tokens=1"),
        ({"seconds": 0.05}, "run.limits.seconds=0.05"),
    ],
)
async def test_a_limit_ends_the_attempt_as_a_budget_failure(
    till: ToolkitSource, limits: dict[str, Any], said: str
) -> None:
    slow = {"replies": REPLIES, "first_token_s": 0.1 if "seconds" in limits else 0}
    backend = ScriptedBackend(ScriptedConfig.model_validate(slow))
    found = await attempt(case(lines=["and 3"]), ScriptedUser(ScriptedUserConfig()), till, backend, limits=limits)
    assert found.failure is not None
    assert (found.failure.kind, found.failure.message) == ("budget", f"more than {said}")
    assert found.trace.steps or "seconds" in limits
