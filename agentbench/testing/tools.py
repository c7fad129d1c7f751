"""The contracts of a tool source and of a toolbox."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from agentbench.core.case import Case
from agentbench.core.protocols import ConvertsArguments, KnowsTools, Toolbox, ToolSession, ToolSource
from agentbench.core.trace import ToolCall
from agentbench.testing.hostile import HOSTILE
from agentbench.tools import opened_toolbox

Call = tuple[str, Mapping[str, Any]]
"""A tool's name and arguments."""

ODD_ARGUMENTS: dict[str, Mapping[str, Any]] = {
    "none": {},
    "an unknown argument": {"no such argument": 1},
    "an empty name": {"": None},
    "nesting": {"a": [[{"b": {"c": [None]}}]]},
    "a long text": {"a": "x" * 100_000},
    "an unpaired surrogate": {"a": "\ud800"},
}
"""Arguments that a model may pass, by their description."""


async def _outcome(session: ToolSession, call: Call) -> tuple[str, Any]:
    """The call's result, and the session's state after it as JSON."""
    result = await session.call(*call)
    return result, json.dumps(await session.state())


class ToolSourceContract:
    """Fixtures of a subclass: `source`, `case` and `call`. `call` is the name and arguments of a tool whose result is
    the same whenever it is an attempt's first call. If the source is a context manager, its fixture enters it."""

    async def test_its_tools_have_names_and_schemas(self, source: ToolSource, case: Case, call: Call) -> None:
        async with source.session(case) as session:
            names = [spec.name for spec in session.specs]
            assert call[0] in names
            assert all(names)
            assert len(set(names)) == len(names)
            for spec in session.specs:
                assert spec.parameters.get("type") == "object", spec.name
                json.dumps(spec.parameters, allow_nan=False)
            if isinstance(source, KnowsTools):
                assert list(source.names) == names

    async def test_a_result_is_text_and_the_state_is_json(self, source: ToolSource, case: Case, call: Call) -> None:
        async with source.session(case) as session:
            json.dumps(await session.state(), allow_nan=False)
            assert isinstance(await session.call(*call), str)
            json.dumps(await session.state(), allow_nan=False)

    async def test_a_state_does_not_change_with_later_calls(self, source: ToolSource, case: Case, call: Call) -> None:
        async with source.session(case) as session:
            state = await session.state()
            before = json.dumps(state)
            await session.call(*call)
            assert json.dumps(state) == before

    async def test_each_attempt_begins_with_the_initial_state_of_its_case(
        self, source: ToolSource, case: Case, call: Call
    ) -> None:
        async def attempt() -> tuple[str, tuple[str, Any]]:
            async with source.session(case) as session:
                return json.dumps(await session.state()), await _outcome(session, call)

        assert await attempt() == await attempt()

    async def test_concurrent_attempts_are_isolated(self, source: ToolSource, case: Case, call: Call) -> None:
        async with source.session(case) as first, source.session(case) as second:
            untouched = json.dumps(await second.state())
            outcome = await _outcome(first, call)
            assert json.dumps(await second.state()) == untouched
            assert await _outcome(second, call) == outcome
        all_open = asyncio.Barrier(3)

        async def attempt() -> tuple[str, Any]:
            async with source.session(case) as session:
                await all_open.wait()
                return await _outcome(session, call)

        assert await asyncio.gather(*(attempt() for _ in range(3))) == [outcome] * 3

    async def test_an_aborted_attempt_leaves_no_state(self, source: ToolSource, case: Case, call: Call) -> None:
        async with source.session(case) as session:
            outcome = await _outcome(session, call)
        with suppress(_AbortError):
            async with source.session(case) as session:
                await session.call(*call)
                raise _AbortError
        async with source.session(case) as session:
            assert await _outcome(session, call) == outcome

    @pytest.mark.parametrize("arguments", ODD_ARGUMENTS.values(), ids=ODD_ARGUMENTS)
    async def test_odd_arguments_do_not_end_the_attempt(
        self, source: ToolSource, case: Case, call: Call, arguments: Mapping[str, Any]
    ) -> None:
        async with opened_toolbox([source], case) as tools:
            recorded = await tools.call(call[0], arguments)
            assert (recorded.result is None) is (recorded.error is not None)
            assert (await tools.call(*call)).error is None

    async def test_converting_arguments_twice_changes_nothing(self, source: ToolSource, case: Case, call: Call) -> None:
        """Only sources whose sessions convert arguments (`ConvertsArguments`) are tested."""
        async with source.session(case) as session:
            if isinstance(session, ConvertsArguments):
                converted = await session.converted(*call)
                json.dumps(converted, allow_nan=False)
                assert await session.converted(call[0], converted) == converted
                refused = {"no such argument": 1}
                assert await session.converted(call[0], refused) == refused


class _AbortError(Exception):
    """Ends an attempt in the middle of a session."""


class ToolboxContract:
    """Fixtures of a subclass: `toolbox`, `call` and `declared`. `call` is the name and arguments of a tool that is
    executed. `declared` is the name of a tool that is only declared: calling it has no result."""

    async def test_tool_names_are_unique_and_declared_tools_are_not_executed(
        self, toolbox: Toolbox, call: Call, declared: str
    ) -> None:
        names = [spec.name for spec in toolbox.specs]
        assert {call[0], declared} <= set(names)
        assert len(set(names)) == len(names)
        assert (toolbox.executes(call[0]), toolbox.executes(declared), toolbox.executes("no such tool")) == (
            True,
            False,
            False,
        )

    async def test_a_call_is_recorded_with_its_result(self, toolbox: Toolbox, call: Call) -> None:
        name, arguments = call
        for form in (arguments, json.dumps(arguments)):
            recorded = await toolbox.call(name, form, "a")
            assert (recorded.call_id, recorded.name, recorded.arguments) == ("a", name, arguments)
            assert recorded.executed
            assert isinstance(recorded.result, str)
            assert recorded.error is None
            assert recorded.started_at <= recorded.ended_at

    async def test_a_call_of_a_declared_tool_has_no_result(self, toolbox: Toolbox, declared: str) -> None:
        recorded = await toolbox.call(declared, {"a": 1})
        assert (recorded.executed, recorded.result, recorded.error) == (False, None, None)
        assert recorded.arguments == {"a": 1}

    async def test_the_error_of_an_unknown_tool_lists_the_tools(self, toolbox: Toolbox, call: Call) -> None:
        recorded = await toolbox.call("no such tool", {})
        assert "no such tool" in str(recorded.error)
        assert call[0] in str(recorded.error)
        assert not recorded.executed

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    async def test_any_text_as_arguments_is_recorded_as_a_call(
        self, toolbox: Toolbox, call: Call, declared: str, text: str
    ) -> None:
        for name in (call[0], declared, "no such tool"):
            recorded = await toolbox.call(name, text)
            assert isinstance(recorded, ToolCall)
            assert isinstance(recorded.arguments, Mapping)
        assert (await toolbox.call(*call)).error is None

    @pytest.mark.parametrize("text", ["{", "[]", "1", '"a"', '{"a": NaN}'])
    async def test_arguments_that_are_no_object_are_an_error(self, toolbox: Toolbox, call: Call, text: str) -> None:
        recorded = await toolbox.call(call[0], text)
        assert "argument" in str(recorded.error)
        assert (recorded.executed, recorded.result, recorded.arguments) == (False, None, {})

    async def test_concurrent_calls_are_recorded(self, toolbox: Toolbox, call: Call) -> None:
        recorded = await asyncio.gather(*(toolbox.call(*call, str(number)) for number in range(8)))
        assert [each.call_id for each in recorded] == [str(number) for number in range(8)]
        assert [each.error for each in recorded] == [None] * 8

    async def test_the_state_is_json(self, toolbox: Toolbox, call: Call) -> None:
        await toolbox.call(*call)
        json.dumps(await toolbox.state(), allow_nan=False)
