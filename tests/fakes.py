"""Small parts that several tests build on: a backend that says what it is told, tools, cases."""

from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from agentbench.core.case import Case, ToolSpec
from agentbench.core.protocols import ChatRequest, Relay, ToolSource
from agentbench.core.trace import ModelCall
from agentbench.tools import CaseToolbox, FunctionTool

ADD_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a"]}


class SayBackend:
    """Answers with the given messages in turn and keeps the requests."""

    needs_server = False

    def __init__(self, *replies: Mapping[str, Any] | str) -> None:
        self._replies = [{"role": "assistant", "content": r} if isinstance(r, str) else r for r in replies]
        self.requests: list[ChatRequest] = []

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        self.requests.append(request)
        at = perf_counter_ns()
        return ModelCall(
            messages=request.messages,
            request={"seed": request.seed},
            reply=self._replies[min(len(self.requests), len(self._replies)) - 1],
            finish_reason="stop",
            intended_at=at,
            sent_at=at,
            ended_at=at,
        )

    async def aclose(self) -> None:
        return None


def calls(*made: tuple[str, str]) -> dict[str, Any]:
    """An assistant message that calls tools: (name, arguments as JSON)."""
    listed = [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(made)
    ]
    return {"role": "assistant", "content": None, "tool_calls": listed}


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def adder() -> CaseToolbox:
    return CaseToolbox([FunctionTool(add)], [])


def toolbox_of(sources: Sequence[ToolSource]) -> CaseToolbox:
    """The toolbox of sources that are functions, which need no opening."""
    return CaseToolbox([source for source in sources if isinstance(source, FunctionTool)], [])


def declared(*names: str) -> CaseToolbox:
    specs = [ToolSpec(name=name, description=f"Does {name}.", parameters=ADD_SCHEMA) for name in names]
    return CaseToolbox([], specs)


def a_case(case_id: str = "c1", text: str = "What is 2 + 3?", expected: Any = "5") -> Case:
    return Case(id=case_id, messages=({"role": "user", "content": text},), expected=expected)
