"""Traces of tool calls, for the scorers' tests."""

from collections.abc import Mapping
from typing import Any

from agentbench.core.trace import Step, ToolCall, Trace, UserTurn


def a_call(name: str, arguments: Mapping[str, Any] | None = None, error: str | None = None) -> ToolCall:
    return ToolCall(
        call_id="",
        name=name,
        arguments=arguments or {},
        started_at=0,
        ended_at=0,
        executed=error is None,
        result="ok",
        error=error,
    )


def a_trace(*turns: list[ToolCall], output: str = "", state: Any = None) -> Trace:
    """The turns' calls with a turn of the user's between them."""
    said = UserTurn(messages=({"role": "user", "content": "and then?"},), started_at=0, ended_at=0)
    steps: list[Step] = []
    for number, turn in enumerate(turns):
        steps += [said] if number else []
        steps += turn
    return Trace(steps=tuple(steps), output=output, state=state)
