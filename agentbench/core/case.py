"""A case: one task for an agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Message = Mapping[str, Any]
"""One chat message in the shape of OpenAI's chat completions: role, content, tool_calls, tool_call_id."""

JsonSchema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """The description of a tool that a model sees. `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: JsonSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One task. `id` is unique in its suite; cases that share a source share a `cluster`.

    The agent is offered `tools` beside the suite's tools. The suite's function tools are executed; those of a case are
    only declared. `expected` is any JSON value; the suite's scorers define its meaning. `user` configures the suite's
    simulated user for this case (`lines`, `persona` …); it is empty for a case of one turn.
    """

    id: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    expected: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = ""

    def __post_init__(self) -> None:
        if not self.cluster:
            object.__setattr__(self, "cluster", self.id)
