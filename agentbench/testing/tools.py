"""What every source of tools promises, and every toolbox."""

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
"""A tool's name and its arguments."""

ODD_ARGUMENTS: dict[str, Mapping[str, Any]] = {
    "none": {},
    "one that no tool has": {"no such argument": 1},
    "an empty name": {"": None},
    "nesting": {"a": [[{"b": {"c": [None]}}]]},
    "a long text": {"a": "x" * 100_000},
    "an unpaired surrogate": {"a": "\ud800"},
}
"""What a model may pass, by what it is."""


async def _outcome(session: ToolSession, call: Call) -> tuple[str, Any]:
    """The call's result, and the state after it as JSON."""
    result = await session.call(*call)
    return result, json.dumps(await session.state())


class ToolSourceContract:
    """A subclass has the fixtures `source`, `case` and `call`: the name and the arguments of a tool that has the same
    result whenever it is the first call of an attempt. A source that is a context manager is entered by its fixture."""

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

    async def test_each_attempt_begins_at_the_start_of_its_case(
        self, source: ToolSource, case: Case, call: Call
    ) -> None:
        async def attempt() -> tuple[str, tuple[str, Any]]:
            async with source.session(case) as session:
                return json.dumps(await session.state()), await _outcome(session, call)

        assert await attempt() == await attempt()

    async def test_attempts_at_once_do_not_see_each_other(self, source: ToolSource, case: Case, call: Call) -> None:
        async with source.session(case) as first, source.session(case) as second:
            untouched = json.dumps(await second.state())
            outcome = await _outcome(first, call)
            assert json.dumps(await second.state()) == untouched
            assert await _outcome(second, call) == outcome
        everyone_is_in = asyncio.Barrier(3)

        async def attempt() -> tuple[str, Any]:
            async with source.session(case) as session:
                await everyone_is_in.wait()
                return await _outcome(session, call)

        assert await asyncio.gather(*(attempt() for _ in range(3))) == [outcome] * 3

    async def test_an_attempt_that_broke_off_leaves_nothing_behind(
        self, source: ToolSource, case: Case, call: Call
    ) -> None:
        async with source.session(case) as session:
            outcome = await _outcome(session, call)
        with suppress(_BrokeOff):
            async with source.session(case) as session:
                await session.call(*call)
                raise _BrokeOff
        async with source.session(case) as session:
            assert await _outcome(session, call) == outcome

    @pytest.mark.parametrize("arguments", ODD_ARGUMENTS.values(), ids=ODD_ARGUMENTS)
    async def test_odd_arguments_do_not_end_the_attempt(
        self, source: ToolSource, case: Case, call: Call, arguments: Mapping[str, Any]
    ) -> None:
        async with opened_toolbox([source], case) as tools:
            made = await tools.call(call[0], arguments)
            assert (made.result is None) is (made.error is not None)
            assert (await tools.call(*call)).error is None

    async def test_arguments_are_converted_once(self, source: ToolSource, case: Case, call: Call) -> None:
        """Of a source whose tools convert none, nothing is asked."""
        async with source.session(case) as session:
            if isinstance(session, ConvertsArguments):
                converted = await session.converted(*call)
                json.dumps(converted, allow_nan=False)
                assert await session.converted(call[0], converted) == converted
                refused = {"no such argument": 1}
                assert await session.converted(call[0], refused) == refused


class _BrokeOff(Exception):
    pass


class ToolboxContract:
    """A subclass has the fixtures `toolbox`, `call` (the name and the arguments of a tool that has a result) and
    `declared` (the name of one that has none)."""

    async def test_tools_have_names_of_their_own(self, toolbox: Toolbox, call: Call, declared: str) -> None:
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
        for made in (await toolbox.call(name, arguments, "a"), await toolbox.call(name, json.dumps(arguments), "a")):
            assert (made.call_id, made.name, made.arguments, made.executed) == ("a", name, arguments, True)
            assert isinstance(made.result, str)
            assert made.error is None
            assert made.started_at <= made.ended_at

    async def test_a_tool_that_is_only_declared_has_no_result(self, toolbox: Toolbox, declared: str) -> None:
        made = await toolbox.call(declared, {"a": 1})
        assert (made.executed, made.result, made.error) == (False, None, None)
        assert made.arguments == {"a": 1}

    async def test_an_unknown_tool_is_told_with_those_there_are(self, toolbox: Toolbox, call: Call) -> None:
        made = await toolbox.call("no such tool", {})
        assert "no such tool" in str(made.error)
        assert call[0] in str(made.error)
        assert not made.executed

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    async def test_whatever_a_model_writes_as_arguments_is_a_call(
        self, toolbox: Toolbox, call: Call, declared: str, text: str
    ) -> None:
        for name in (call[0], declared, "no such tool"):
            made = await toolbox.call(name, text)
            assert isinstance(made, ToolCall)
            assert isinstance(made.arguments, Mapping)
        assert (await toolbox.call(*call)).error is None

    @pytest.mark.parametrize("text", ["{", "[]", "1", '"a"', '{"a": NaN}'])
    async def test_arguments_that_are_no_object_are_the_calls_error(
        self, toolbox: Toolbox, call: Call, text: str
    ) -> None:
        made = await toolbox.call(call[0], text)
        assert "argument" in str(made.error)
        assert (made.executed, made.result, made.arguments) == (False, None, {})

    async def test_calls_can_be_made_at_once(self, toolbox: Toolbox, call: Call) -> None:
        made = await asyncio.gather(*(toolbox.call(*call, str(number)) for number in range(8)))
        assert [each.call_id for each in made] == [str(number) for number in range(8)]
        assert [each.error for each in made] == [None] * 8

    async def test_the_state_is_json(self, toolbox: Toolbox, call: Call) -> None:
        await toolbox.call(*call)
        json.dumps(await toolbox.state(), allow_nan=False)
