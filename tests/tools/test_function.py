"""Function tools: schema from type hints, arguments checked, whatever goes wrong told to the agent."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from agentbench.core.case import ToolSpec
from agentbench.core.errors import UserError
from agentbench.tools import CaseToolbox, FunctionTool, load_tools
from tests.fakes import toolbox_of


def search(
    query: str,
    kind: Literal["web", "news"] = "web",
    limit: Annotated[int, Field(description="How many.", ge=1)] = 3,
    tags: list[str] | None = None,
) -> list[str]:
    """Search for something.

    More about it that the model is not told.

    Args:
        query: What to look for.
        kind (str): Where to look.

    Returns:
        nothing: of interest
    """
    return [f"{query}/{kind}/{limit}/{tags}"]


async def slow() -> str:
    """Never ends."""
    await asyncio.Event().wait()
    return ""


def broken() -> str:
    """Raises."""
    raise RuntimeError("out of order")


def test_the_schema_comes_from_hints_and_docstring() -> None:
    spec = FunctionTool(search).spec
    assert (spec.name, spec.description) == ("search", "Search for something.")
    properties = spec.parameters["properties"]
    assert properties["query"] == {"type": "string", "description": "What to look for."}
    assert properties["kind"]["enum"] == ["web", "news"]
    assert properties["kind"]["description"] == "Where to look."
    assert properties["limit"]["description"] == "How many."
    assert (spec.parameters["required"], spec.parameters["additionalProperties"]) == (["query"], False)
    assert "title" not in str(spec.parameters)


def test_a_function_without_hints_is_refused() -> None:
    def bare(x):  # type: ignore[no-untyped-def]
        return x

    with pytest.raises(UserError, match="parameter 'x' needs a type hint"):
        FunctionTool(bare)


async def test_defaults_are_the_functions_own() -> None:
    call = await CaseToolbox([FunctionTool(search)], []).call("search", {"query": "q"})
    assert (call.result, call.executed, call.error) == ('["q/web/3/None"]', True, None)
    assert call.ended_at >= call.started_at


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("search", '{"query": "q", "kind": "radio"}', "kind: Input should be 'web' or 'news'"),
        ("search", "{}", "query: Field required"),
        ("search", '{"query": "q", "x": 1}', "x: Extra inputs are not permitted"),
        ("search", "nonsense", "the arguments are not valid JSON"),
        ("search", "[]", "the arguments are a JSON list, not an object"),
        ("serch", "{}", "there is no tool 'serch'"),
        ("broken", "", "RuntimeError: out of order"),
        ("slow", "{}", "slow was not done after 0.05 s"),
    ],
)
async def test_what_goes_wrong_is_the_calls_error(name: str, arguments: str, error: str) -> None:
    toolbox = CaseToolbox([FunctionTool(each) for each in (search, broken, slow)], [], timeout_s=0.05)
    call = await toolbox.call(name, arguments, "id-1")
    assert error in str(call.error)
    assert (call.result, call.call_id) == (None, "id-1")


async def test_a_declared_tool_is_recorded_and_not_run() -> None:
    toolbox = CaseToolbox([], [ToolSpec(name="look", description="", parameters={})])
    call = await toolbox.call("look", '{"a": 1}')
    assert (call.arguments, call.executed, call.result, call.error) == ({"a": 1}, False, None, None)
    assert not toolbox.executes("look")


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="one name"):
        CaseToolbox([FunctionTool(broken)], [ToolSpec(name="broken", description="", parameters={})])


def test_tools_are_loaded_from_a_file_beside_the_suite_and_from_a_module(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text('def twice(x: int) -> int:\n    """Double."""\n    return 2 * x\n')
    loaded = load_tools(["tools.py:twice", f"{__name__}:broken"], tmp_path)
    assert [spec.name for spec in toolbox_of(loaded).specs] == ["twice", "broken"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("tools", "expected file.py:function"),
        ("nowhere.py:f", "there is no file"),
        ("bad.py:f", "can't be run: SyntaxError"),
        ("good.py:g", "has no function 'g'"),
        ("no_such_module_at_all:f", "can't be imported"),
    ],
)
def test_a_reference_that_is_wrong_is_told(tmp_path: Path, reference: str, message: str) -> None:
    (tmp_path / "bad.py").write_text("def f(:\n")
    (tmp_path / "good.py").write_text("g = 3\n")
    with pytest.raises(UserError, match=message):
        load_tools([reference], tmp_path)


async def test_arguments_are_recorded_as_the_function_ran_with_them() -> None:
    def order(count: int, ratio: float, urgent: bool, at: datetime, parts: list[int], note: str = "") -> str:
        return f"{count} {urgent} {parts}"

    tools = CaseToolbox([FunctionTool(order)], ())
    written = {
        "count": "2",
        "ratio": 1,
        "urgent": "yes",
        "at": "2026-01-02T03:04",
        "parts": ["1", 2],
    }
    call = await tools.call("order", written)
    assert call.result == "2 True [1, 2]"
    assert call.arguments == {**written, "count": 2, "urgent": True, "parts": [1, 2]}
    assert (await tools.call("order", {**written, "count": "many"})).arguments == {**written, "count": "many"}
