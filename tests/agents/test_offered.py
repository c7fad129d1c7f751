"""Which tools a model is offered: a subset, an order, other descriptions; and what is told of a name that is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.protocols import Agent, Reply
from agentbench.core.trace import Trace
from agentbench.run.recorder import Recorder
from agentbench.suite import registry
from agentbench.suite.config import Component
from agentbench.suite.suite import load_suite, reconfigured
from agentbench.tools import CaseToolbox
from tests.fakes import SayBackend, a_case, adder, calls, declared


async def work(backend: SayBackend, box: CaseToolbox, name: str = "tool_loop", **options: Any) -> Trace:
    agent: Agent = registry.build("agents", Component(name=name, **options))
    recorder = Recorder(backend, box, seed=7)
    case = Case(id="c", messages=a_case().messages, tools=box.specs)
    answer = await agent(case, recorder, recorder)
    return recorder.trace(answer.text if isinstance(answer, Reply) else answer)


async def test_a_subset_is_offered_in_the_order_named_and_a_name_of_another_case_is_passed_over() -> None:
    backend = SayBackend("none fits")
    await work(backend, declared("a", "b", "c"), tools=["c", "of_another_case", "a"])
    assert [tool.name for tool in backend.requests[0].tools] == ["c", "a"]


@pytest.mark.parametrize("output", ["free", "native_tools"])
async def test_descriptions_are_replaced_and_nothing_else(output: str) -> None:
    backend = SayBackend("none fits")
    tools = declared("a", "b")
    await work(backend, tools, output=output, tool_descriptions={"a": "Finds ours."}, system_prompt="{tools}")
    shown = json.dumps([backend.requests[0].messages[0], [tool.description for tool in backend.requests[0].tools]])
    assert "Finds ours." in shown
    assert "Does b." in shown
    assert "Does a." not in shown
    assert [spec.description for spec in tools.specs] == ["Does a.", "Does b."]


async def test_a_tool_that_is_not_offered_is_not_run_and_the_call_of_it_is_recorded() -> None:
    trace = await work(SayBackend(calls(("add", '{"a": 1}')), "I can't."), adder(), tools=[])
    [call] = trace.tool_calls
    assert (call.executed, call.result, call.error) == (False, None, "there is no tool 'add'; there are: none")
    assert trace.output == "I can't."


@pytest.mark.parametrize("output", ["free", "json_schema", "native_tools"])
async def test_with_no_tool_offered_the_model_just_answers(output: str) -> None:
    backend = SayBackend("I can't.")
    trace = await work(backend, declared("a"), output=output, tools=[])
    assert trace.output == "I can't."
    assert (backend.requests[0].response_format, backend.requests[0].tools) == (None, ())


async def test_one_that_is_only_declared_and_not_offered_is_no_answer() -> None:
    backend = SayBackend(calls(("b", '{"a": 1}')), calls(("a", '{"a": 2}')))
    trace = await work(backend, declared("a", "b"), tools=["a"])
    assert [(call.name, bool(call.error)) for call in trace.tool_calls] == [("b", True), ("a", False)]
    assert "there are: a" in backend.requests[1].messages[-1]["content"]


async def test_the_agents_around_it_tell_of_no_other_tools() -> None:
    inner = {"name": "tool_loop", "tools": ["b"], "tool_descriptions": {"b": "Ours."}}
    planning = SayBackend("1. b", "done")
    await work(planning, declared("a", "b"), "plan_then_act", inner=inner)
    plan = planning.requests[0].messages[0]["content"]
    assert "b(a, b=None): Ours." in plan
    assert "Does a." not in plan
    retrying = SayBackend("no call", calls(("b", '{"a": 1}')))
    await work(retrying, declared("a", "b"), "retry_with_feedback", inner=inner)
    assert "there are: b." in retrying.requests[1].messages[-1]["content"]


SUITE = """\
name: tiny
dataset: {name: jsonl, path: cases.jsonl}
scorers: [exact]
agent: tool_loop
"""
TOOLS = '''\
def search(query: str) -> str:
    """Search."""
    return query


class Desk:
    def ask(self) -> str:
        """Ask."""
        return ""

    def state(self) -> int:
        return 1
'''
CASE = {
    "id": "c1",
    "input": "say 1",
    "expected": "1",
    "tools": [{"name": "look_up", "description": "", "parameters": {"type": "object"}}],
}


def suite_with(root: Path, tools: str) -> Path:
    (root / "suite.yaml").write_text(f"{SUITE}tools: {tools}\n")
    (root / "cases.jsonl").write_text(json.dumps(CASE))
    (root / "tools.py").write_text(TOOLS)
    return root


OURS = '[tools.py:search, {name: toolkit, target: "tools.py:Desk"}, {name: python}]'


def test_a_name_that_neither_the_suite_nor_a_case_has_is_told_when_the_suite_is_read(tmp_path: Path) -> None:
    root = suite_with(tmp_path, OURS)
    known = ["look_up", "search", "ask", "run_python"]
    suite = load_suite(root, {"agent.tools": known, "agent.tool_descriptions": dict.fromkeys(known, "")})
    told = r"agent\.tools: unknown tool 'serach'. Did you mean 'search'.* Valid: ask, look_up, run_python, search"
    with pytest.raises(UserError, match=told):
        load_suite(root, {"agent.tools": ["serach"]})
    with pytest.raises(UserError, match=r"here: agent\.tool_descriptions: unknown tool 'state'"):
        reconfigured(suite, {"agent.tool_descriptions": {"state": ""}}, lambda _: "here")
    inner = {"name": "self_consistency", "inner": {"name": "tool_loop", "tools": ["serach"]}}
    with pytest.raises(UserError, match=r"agent\.inner\.tools: unknown tool 'serach'"):
        load_suite(root, {"agent": inner})


def test_tools_that_are_known_only_in_an_attempt_are_not_checked_before(tmp_path: Path) -> None:
    root = suite_with(tmp_path, "[{name: mcp, command: [none]}]")
    assert load_suite(root, {"agent.tools": ["of_the_server"]}).config.agent.options["tools"] == ["of_the_server"]


def test_a_tool_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"agent\.tools = \['search', 'search'\]: 'search' is named twice"):
        load_suite(suite_with(tmp_path, OURS), {"agent.tools": ["search", "search"]})


def test_the_options_of_an_inner_agent_are_checked_when_the_suite_is_read(tmp_path: Path) -> None:
    root = suite_with(tmp_path, "[]")
    inner = {"name": "self_consistency", "inner": {"name": "tool_loop", "max_turn": 3}}
    with pytest.raises(UserError, match=r"unknown key 'agent\.inner\.max_turn'. Did you mean 'max_turns'"):
        load_suite(root, {"agent": inner})
