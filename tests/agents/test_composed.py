"""Agents made of agents: a plan first, several votes, a second try; and what a long conversation shows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.agents.context import Memory, MemoryConfig, turns_of
from agentbench.core.case import Case, Message
from agentbench.core.protocols import Agent, Reply
from agentbench.core.trace import Trace
from agentbench.run.recorder import Recorder
from agentbench.suite import registry
from agentbench.suite.config import Component
from agentbench.tools import CaseToolbox
from tests.fakes import SayBackend, a_case, adder, calls, declared


def text_of(answer: str | Reply) -> str:
    return answer if isinstance(answer, str) else answer.text


async def work(name: str, backend: SayBackend, tools: CaseToolbox, case: Case | None = None, **options: Any) -> Trace:
    agent: Agent = registry.build("agents", Component(name=name, **options))
    recorder = Recorder(backend, tools, seed=7)
    return recorder.trace(text_of(await agent(case or a_case(), recorder, recorder)))


async def test_a_plan_is_made_of_the_tools_and_then_followed() -> None:
    backend = SayBackend("1. add them", calls(("add", '{"a": 2, "b": 3}')), "It is 5.")
    trace = await work("plan_then_act", backend, adder())
    assert trace.output == "It is 5."
    assert "add(a, b=None): Add two numbers." in backend.requests[0].messages[0]["content"]
    assert "Follow this plan:\n1. add them" in [message["content"] for message in backend.requests[1].messages]
    assert [call.result for call in trace.tool_calls] == ["5"]


async def test_an_inner_agent_that_needs_a_gateway_has_it() -> None:
    inner = {"name": "callable", "target": "tests.agents.test_callable:over_http"}
    recorder = Recorder(SayBackend("not yet", '{"a": 1}'), adder(), seed=7)
    agent = registry.build("agents", Component(name="retry_with_feedback", inner=inner, check="json"))
    async with agent:
        assert text_of(await agent(a_case(), recorder, recorder)) == '{"a": 1}'
    assert len(recorder.trace().model_calls) == 2


async def test_the_answer_of_most_votes_wins() -> None:
    backend = SayBackend("four", "Five ", "five")
    trace = await work("self_consistency", backend, adder(), inner={"name": "chat"}, votes=3, temperature=0.9)
    assert trace.output == "Five "
    assert len({request.seed for request in backend.requests}) == 3
    assert {request.temperature for request in backend.requests} == {0.9}


async def test_only_the_winner_s_declared_calls_are_the_attempt_s() -> None:
    votes = [calls(("look_up", f'{{"x": {x}}}')) for x in (1, 2, 2)]
    trace = await work("self_consistency", SayBackend(*votes), declared("look_up"), votes=3)
    assert [dict(call.arguments) for call in trace.tool_calls] == [{"x": 2}]


def with_tool() -> Case:
    [spec_] = declared("look_up").specs
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    tool = type(spec_)(name="look_up", description="", parameters=schema)
    return Case(id="t", messages=({"role": "user", "content": "Look 1 up."},), tools=(tool,))


async def test_what_is_wrong_with_an_answer_is_told_and_it_is_given_again() -> None:
    case = with_tool()
    says = SayBackend(calls(("look_up", '{"x": "one"}')), "I can't", calls(("look_up", '{"x": 1}')))
    trace = await work("retry_with_feedback", says, CaseToolbox([], case.tools), case)
    assert [dict(call.arguments) for call in trace.tool_calls] == [{"x": 1}]
    told = [request.messages[-1]["content"] for request in says.requests[1:]]
    assert "the arguments of look_up don't fit: 'one' is not of type 'integer'" in told[0]
    assert "no tool was called; there are: look_up" in told[1]


async def test_the_last_try_counts_right_or_not() -> None:
    says = SayBackend("{", "[", "no")
    inner = {"name": "chat"}
    trace = await work("retry_with_feedback", says, adder(), inner=inner, check="json", retries=2)
    assert (trace.output, len(says.requests)) == ("no", 3)


def check_of_ours(case: Case, text: str) -> str | None:
    return None if "please" in text else "say please"


async def test_a_check_of_one_s_own() -> None:
    options: dict[str, Any] = {
        "inner": {"name": "chat"},
        "check": f"{__name__}:check_of_ours",
        "feedback": "{problem}!",
    }
    says = SayBackend("give", "give please")
    assert (await work("retry_with_feedback", says, adder(), **options)).output == "give please"
    assert says.requests[1].messages[-1]["content"] == "say please!"


async def test_demonstrations_and_instructions_come_before_the_case() -> None:
    backend = SayBackend("done")
    shown = [{"input": "1+1?", "output": "2"}]
    await work("tool_loop", backend, adder(), demonstrations=shown, instructions="Be exact.", system_prompt="Add.")
    roles = [(message["role"], message["content"]) for message in backend.requests[0].messages[:3]]
    assert roles == [("system", "Add.\n\nBe exact."), ("user", "1+1?"), ("assistant", "2")]


messages = st.lists(st.sampled_from(["user", "assistant", "tool", "system"]), max_size=24).map(
    lambda roles: [{"role": role, "content": str(index)} for index, role in enumerate(roles)]
)


@given(messages, st.integers(1, 5))
async def test_a_window_keeps_whole_turns_and_every_system_message(said: list[Message], turns: int) -> None:
    config = MemoryConfig(kind="window", turns=turns)
    shown = await Memory(config).shown(said, Recorder(SayBackend("never asked"), adder(), 1))
    assert [m for m in said if m["role"] == "system"] == [m for m in shown if m["role"] == "system"]
    rest = [m for m in said if m["role"] != "system"]
    kept = [m for m in shown if m["role"] != "system"]
    assert kept == rest[len(rest) - len(kept) :], "the end of the conversation"
    assert len(turns_of(kept)) == min(turns, len(turns_of(rest)))


async def test_a_summary_is_asked_for_and_recorded() -> None:
    said = [{"role": role, "content": f"{role} {turn}"} for turn in range(6) for role in ("user", "assistant")]
    case = Case(id="long", messages=(*said, {"role": "user", "content": "and now?"}))
    backend = SayBackend("they talked", "fine")
    trace = await work("chat", backend, adder(), case, memory={"kind": "summary", "turns": 2})
    assert trace.output == "fine"
    asked = [message["content"] for message in backend.requests[1].messages]
    assert asked == ["Earlier in this conversation: they talked", "user 5", "assistant 5", "and now?"]
    assert len(trace.model_calls) == 2


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ({"name": "self_consistency", "inner": "chta"}, "unknown agent 'chta'. Did you mean 'chat'"),
        ({"name": "tool_loop", "memory": {"kind": "windows"}}, "memory.kind = 'windows'"),
        ({"name": "retry_with_feedback", "check": "nothing"}, "agent.check = 'nothing': use calls, json"),
    ],
)
def test_a_mistake_is_told_in_one_line(agent: dict[str, Any], said: str) -> None:
    from agentbench.core.errors import UserError

    with pytest.raises(UserError, match=said.replace(".", r"\.").replace("[", r"\[")):
        registry.build("agents", Component(**agent))
