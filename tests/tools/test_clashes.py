"""Tools of one name are refused before anything is run."""

import sys
from pathlib import Path

import pytest

from agentbench.core.case import Case, ToolSpec
from agentbench.core.errors import UserError
from agentbench.core.protocols import ToolSource
from agentbench.tools import FunctionTool, refuse_clashes
from agentbench.tools.mcp import McpConfig, McpSource
from agentbench.tools.python import PythonConfig, PythonSource
from tests.tools import odd_mcp_server


def fine() -> str:
    return "fine"


def run_python(code: str) -> str:
    return code


def declaring(*names: str) -> Case:
    tools = tuple(ToolSpec(name=name, description="", parameters={}) for name in names)
    return Case(id="c1", messages=({"role": "user", "content": "go"},), tools=tools)


def test_tools_of_a_suite_and_of_its_cases() -> None:
    sources: list[ToolSource] = [FunctionTool(fine), PythonSource(PythonConfig(), Path())]
    refuse_clashes(sources, [declaring("a", "b")])
    with pytest.raises(UserError, match=r"tools\.2: a tool of the suite is named 'run_python' already"):
        refuse_clashes([*sources, FunctionTool(run_python)], ())
    with pytest.raises(UserError, match="case 'c1' declares the tool 'fine', which the suite has; rename one"):
        refuse_clashes(sources, [declaring("a", "fine")])
    with pytest.raises(UserError, match="case 'c1' declares the tool 'a', which it declares twice"):
        refuse_clashes(sources, [declaring("a", "a")])


@pytest.mark.long
@pytest.mark.parametrize("scope", ["run", "attempt"])
async def test_an_mcp_server_s_tools_are_known_once_it_is_started(
    scope: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"command": [sys.executable, odd_mcp_server.__file__], "scope": scope, "include": ["fine"]}
    async with McpSource(McpConfig.model_validate(options), Path()) as source:
        with pytest.raises(UserError, match=r"tools\.1: a tool of the suite is named 'fine' already"):
            refuse_clashes([FunctionTool(fine), source], ())
    async with McpSource(McpConfig.model_validate({**options, "prefix": "odd_"}), Path()) as source:
        refuse_clashes([FunctionTool(fine), source], ())
