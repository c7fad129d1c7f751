"""What an agent shows its model: example exchanges, the part of a long conversation that fits its memory, and the
offered tools.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter_ns
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.case import Message, ToolSpec
from agentbench.core.protocols import ChatClient, ChatRequest, Toolbox
from agentbench.core.trace import ToolCall


class Demonstration(BaseModel):
    """An example exchange: a user's message and the right answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str
    output: str


def demonstrated(demonstrations: Iterable[Demonstration], messages: Sequence[Message] = ()) -> Iterator[Message]:
    """The demonstrations as pairs of a user's and an assistant's message.

    A demonstration whose input is among the `messages` is left out, since it would reveal the answer.
    """
    for each in demonstrations:
        if any(message.get("content") == each.input for message in messages):
            continue
        yield {"role": "user", "content": each.input}
        yield {"role": "assistant", "content": each.output}


SUMMARIZE = (
    "Summarize the conversation so far in a few sentences. Keep names, numbers, decisions and what is still open."
)


class MemoryConfig(BaseModel):
    """Options of an agent's memory. A turn is a user's message and everything up to the next one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["none", "window", "summary"] = Field("none", description="none: everything is shown.")
    turns: int = Field(4, ge=1, description="window and summary: number of the latest turns, which are shown in full.")
    max_tokens: int = Field(200, gt=0, description="summary: most tokens of the summary.")


class Memory:
    """Always shows system messages. It shows or drops whole turns, so that no tool result loses its call."""

    def __init__(self, config: MemoryConfig) -> None:
        self._config = config

    async def shown(self, conversation: Sequence[Message], backend: ChatClient) -> list[Message]:
        """The messages to send. The model writes the summary of dropped turns; that call is recorded like any other."""
        system = [message for message in conversation if message.get("role") == "system"]
        turns = turns_of([message for message in conversation if message.get("role") != "system"])
        if self._config.kind == "none" or len(turns) <= self._config.turns:
            return list(conversation)
        recent = [message for turn in turns[-self._config.turns :] for message in turn]
        if self._config.kind == "window":
            return [*system, *recent]
        left_out = [message for turn in turns[: -self._config.turns] for message in turn]
        summary = await self._summary(left_out, backend)
        return [*system, {"role": "system", "content": f"Earlier in this conversation: {summary}"}, *recent]

    async def _summary(self, messages: Sequence[Message], backend: ChatClient) -> str:
        request = ChatRequest(
            messages=(*messages, {"role": "user", "content": SUMMARIZE}),
            temperature=0.0,
            max_tokens=self._config.max_tokens,
        )
        return (await backend.chat(request)).answer


def turns_of(conversation: Sequence[Message]) -> list[list[Message]]:
    """The conversation cut before each user message; the messages before the first form a turn too."""
    turns: list[list[Message]] = []
    for message in conversation:
        if message.get("role") == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


@runtime_checkable
class OffersTools(Protocol):
    """An agent that may offer its model only some of the tools."""

    def offered(self, tools: Toolbox) -> Toolbox: ...


class OfferedTools:
    """The named tools in the given order (all of them for None), with `descriptions` replacing their own.

    A name without a tool in this attempt is ignored, since each case may have tools of its own. For the model, a tool
    that is not offered does not exist: its call gets the error of an unknown tool and is not executed. `record` records
    such a call.
    """

    def __init__(
        self,
        tools: Toolbox,
        names: Sequence[str] | None,
        descriptions: Mapping[str, str],
        record: ChatClient | None = None,
    ) -> None:
        self._tools = tools
        self._record = record
        self.specs: tuple[ToolSpec, ...] = tuple(
            replace(spec, description=descriptions.get(spec.name, spec.description))
            for spec in _chosen(tools.specs, names)
        )
        self._names = {spec.name for spec in self.specs}
        self._hidden = {spec.name for spec in tools.specs} - self._names

    def executes(self, name: str) -> bool:
        return name in self._names and self._tools.executes(name)

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        if name not in self._hidden:
            return await self._tools.call(name, arguments, call_id)
        call = self._refused(name, arguments, call_id)
        if self._record is not None:
            self._record.observe(call)
        return call

    async def state(self) -> Any:
        return await self._tools.state()

    def _refused(self, name: str, arguments: str | Mapping[str, Any], call_id: str) -> ToolCall:
        at = perf_counter_ns()
        return ToolCall(
            call_id=call_id,
            name=name,
            arguments=arguments if isinstance(arguments, Mapping) else {},
            started_at=at,
            ended_at=at,
            executed=False,
            error=f"there is no tool {name!r}; there are: {', '.join(sorted(self._names)) or 'none'}",
        )


def _chosen(specs: Sequence[ToolSpec], names: Sequence[str] | None) -> list[ToolSpec]:
    by_name = {spec.name: spec for spec in specs}
    return list(specs) if names is None else [by_name[name] for name in names if name in by_name]
