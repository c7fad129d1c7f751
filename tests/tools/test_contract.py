"""Every tool source and toolbox passes its contract, and a broken one fails it."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentbench.bfcl.tools import BfclToolkitsConfig, BfclToolkitsSource
from agentbench.core.case import Case, ToolSpec
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import Toolbox, ToolSource
from agentbench.core.trace import ToolCall
from agentbench.run.recorder import Recorder
from agentbench.testing import ToolboxContract, ToolSourceContract
from agentbench.testing.tools import Call
from agentbench.tools import CaseToolbox, FunctionTool
from agentbench.tools.browser import BrowserConfig, BrowserSource, installed_browser
from agentbench.tools.mcp import McpConfig, McpSource
from agentbench.tools.python import PythonConfig, PythonSource
from agentbench.tools.toolkit import ToolkitConfig, ToolkitSource
from tests.fakes import SayBackend
from tests.tools.test_mcp import SERVER

TILL = '''
class Till:
    def __init__(self) -> None:
        self.paid = []

    def reset(self, case) -> None:
        self.paid.append(case.metadata["balance"])

    def deposit(self, amount: int) -> int:
        """Put money in."""
        self.paid.append(amount)
        return sum(self.paid)

    def state(self) -> dict:
        return {"paid": self.paid}
'''
DEPOSIT: Call = ("deposit", {"amount": 2})


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


class Contract(ToolSourceContract):
    @pytest.fixture
    def case(self) -> Case:
        return Case(id="c", messages=({"role": "user", "content": "go"},), metadata={"balance": 5})

    @pytest.fixture
    def call(self) -> Call:
        return DEPOSIT


class TestFunction(Contract):
    @pytest.fixture
    def source(self) -> ToolSource:
        return FunctionTool(double)

    @pytest.fixture
    def call(self) -> Call:
        return "double", {"number": 4}


@pytest.mark.parametrize("process", [False, True], ids=["same process", "own process"])
class TestToolkit(Contract):
    @pytest.fixture
    def source(self, tmp_path: Path, process: bool) -> ToolSource:
        (tmp_path / "till.py").write_text(TILL)
        return ToolkitSource(ToolkitConfig(target="till.py:Till", process=process), tmp_path)


class TestPython(Contract):
    @pytest.fixture
    def source(self) -> ToolSource:
        return PythonSource(PythonConfig(), Path())

    @pytest.fixture
    def call(self) -> Call:
        return "run_python", {"code": "import os; print(os.listdir()); open('left', 'w').close()"}


@pytest.mark.parametrize("scope", ["run", "attempt"])
class TestMcp(Contract):
    @pytest.fixture
    async def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str) -> AsyncIterator[ToolSource]:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "server.py").write_text(SERVER)
        command = [sys.executable, str(tmp_path / "server.py")]
        config = McpConfig.model_validate({"command": command, "scope": scope})
        async with McpSource(config, Path()) as source:
            yield source

    @pytest.fixture
    def call(self, scope: str) -> Call:
        """A server of the run has state that its attempts share: depositing 0 leaves it unchanged."""
        return ("deposit", {"amount": 2 if scope == "attempt" else 0})


@pytest.mark.skipif(installed_browser() is None, reason="no Chromium is installed")
class TestBrowser(Contract):
    @pytest.fixture
    async def source(self, tmp_path: Path) -> AsyncIterator[ToolSource]:
        (tmp_path / "site").mkdir()
        page = "<!doctype html><title>Start</title><script>localStorage.n = 1 + Number(localStorage.n || 0);"
        page += "document.write('visit ' + localStorage.n)</script>"
        (tmp_path / "site" / "index.html").write_text(page)
        async with BrowserSource(BrowserConfig(timeout_s=5), tmp_path) as source:
            yield source

    @pytest.fixture
    def call(self) -> Call:
        return "open", {"url": "/index.html"}


class TestBfclToolkits(Contract):
    @pytest.fixture
    def source(self) -> ToolSource:
        return BfclToolkitsSource(BfclToolkitsConfig(), Path())

    @pytest.fixture
    def case(self) -> Case:
        return Case(id="c", messages=(), metadata={"toolkits": ["MathAPI"], "initial": {}})

    @pytest.fixture
    def call(self) -> Call:
        return "add", {"a": 1, "b": 2}


class Leaky:
    """Shares one mutable state among all attempts, and raises on a wrong argument."""

    specs = (ToolSpec(name="deposit", description="", parameters={"type": "object"}),)
    names = ("withdraw",)

    def __init__(self) -> None:
        self.paid: list[int] = []

    @asynccontextmanager
    async def session(self, case: Case) -> AsyncIterator["Leaky"]:
        yield self

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        if "amount" not in arguments:
            raise AttemptError("tool", "no amount")
        self.paid.append(arguments["amount"])
        return str(sum(self.paid))

    async def converted(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: arguments}

    async def state(self) -> list[int]:
        return self.paid


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("its_tools_have_names_and_schemas", AssertionError),
        ("a_state_does_not_change_with_later_calls", AssertionError),
        ("each_attempt_begins_with_the_initial_state_of_its_case", AssertionError),
        ("concurrent_attempts_are_isolated", AssertionError),
        ("an_aborted_attempt_leaves_no_state", AssertionError),
        ("converting_arguments_twice_changes_nothing", AssertionError),
        ("odd_arguments_do_not_end_the_attempt", AttemptError),
    ],
)
async def test_a_source_that_breaks_the_contract_fails_it(broken: str, error: type[Exception]) -> None:
    test = getattr(ToolSourceContract(), f"test_{broken}")
    arguments: list[Mapping[str, Any]] = [{}] if "odd" in broken else []
    with pytest.raises(error):
        await test(Leaky(), Case(id="c", messages=()), DEPOSIT, *arguments)


class Boxes(ToolboxContract):
    @pytest.fixture
    def call(self) -> Call:
        return "double", {"number": 4}

    @pytest.fixture
    def declared(self) -> str:
        return "weather"

    @pytest.fixture
    def of_a_case(self, declared: str) -> CaseToolbox:
        return CaseToolbox([FunctionTool(double)], [ToolSpec(name=declared, description="", parameters={})])


class TestCaseToolbox(Boxes):
    @pytest.fixture
    def toolbox(self, of_a_case: CaseToolbox) -> Toolbox:
        return of_a_case


class TestRecorder(Boxes):
    @pytest.fixture
    def toolbox(self, of_a_case: CaseToolbox) -> Toolbox:
        return Recorder(SayBackend("unused"), of_a_case, 0)


class Careless(CaseToolbox):
    """Claims to execute every tool, and raises on an error that it must record."""

    def executes(self, name: str) -> bool:
        return True

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        made = await super().call(name, arguments)
        if made.error is not None:
            raise ValueError(made.error)
        return made


@pytest.mark.parametrize(
    ("broken", "arguments", "error"),
    [
        ("tool_names_are_unique_and_declared_tools_are_not_executed", ["call", "declared"], AssertionError),
        ("a_call_is_recorded_with_its_result", ["call"], AssertionError),
        ("a_call_of_a_declared_tool_has_no_result", ["declared"], (AssertionError, KeyError)),
        ("the_error_of_an_unknown_tool_lists_the_tools", ["call"], ValueError),
        ("arguments_that_are_no_object_are_an_error", ["call", "{"], ValueError),
        ("any_text_as_arguments_is_recorded_as_a_call", ["call", "declared", "{"], ValueError),
        ("concurrent_calls_are_recorded", ["call"], AssertionError),
    ],
)
async def test_a_toolbox_that_breaks_the_contract_fails_it(broken: str, arguments: list[str], error: Any) -> None:
    toolbox = Careless([FunctionTool(double)], [ToolSpec(name="weather", description="", parameters={})])
    known = {"call": ("double", {"number": 4}), "declared": "weather"}
    test = getattr(ToolboxContract(), f"test_{broken}")
    with pytest.raises(error):
        await test(toolbox, *(known.get(each, each) for each in arguments))
