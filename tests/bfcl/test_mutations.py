"""Accepted calls of simple_python with one thing made wrong: none may pass."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from agentbench.bfcl.call_scorer import ToolCallMatchConfig, ToolCallMatchScorer
from agentbench.bfcl.dataset import BfclConfig, BfclDataset
from agentbench.core.case import Case
from agentbench.core.trace import Trace
from tests.bfcl.test_dataset import _made as accepted


@cache
def simple_python() -> list[Case]:
    return BfclDataset(BfclConfig(category="simple_python")).load(Path())


def mutated(arguments: dict[str, Any], key: str, mutation: str) -> dict[str, Any]:
    if mutation == "drop":
        return {name: value for name, value in arguments.items() if name != key}
    if mutation == "add":
        return {**arguments, "no_such_parameter": 1}
    return {**arguments, key: None if mutation == "retype" else another(arguments[key])}


def another(value: Any) -> Any:
    """A value of the same type that no case allows; of a boolean, its name."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return value + 987_654_321
    if isinstance(value, str):
        return value + "another"
    return [*value, "another"] if isinstance(value, list) else {**value, "another": 1}


@given(data=st.data())
async def test_one_thing_wrong_fails_and_names_the_function(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(simple_python()))
    [call] = accepted(case).tool_calls
    [allowed] = case.expected["calls"][0].values()
    mutation = data.draw(st.sampled_from(["drop", "add", "retype", "revalue"]))
    key = data.draw(st.sampled_from(sorted(call.arguments)))
    assume(mutation != "drop" or "" not in allowed[key])
    wrong = replace(call, arguments=mutated(dict(call.arguments), key, mutation))
    score = await ToolCallMatchScorer(ToolCallMatchConfig()).score(case, Trace(steps=(wrong,)))
    assert not score.passed
    assert score.reason.startswith(f"{call.name}: ")


@given(st.data())
async def test_a_call_made_twice_fails(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(simple_python()))
    score = await ToolCallMatchScorer(ToolCallMatchConfig()).score(case, Trace(steps=accepted(case).steps * 2))
    assert score.reason == "2 calls made, expected 1"
