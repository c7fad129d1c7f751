"""Which of an attempt's tools a model is offered, in which order, and what it is told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter_ns
from typing import Any, Protocol, runtime_checkable

from agentbench.case import ToolSpec
from agentbench.protocols import ChatClient, Toolbox
from agentbench.trace import ToolCall


@runtime_checkable
class OffersTools(Protocol):
    """An agent that does not offer its model every tool there is."""

    def offered(self, tools: Toolbox) -> Toolbox: ...


class OfferedTools:
    """The tools named, in the order named (all of them for None), with the `descriptions` given in place of their own.

    A name that this attempt has no tool of is passed over: cases have tools of their own. A tool that is not offered
    does not exist for the model; a call of it is told as an error, as that of an unknown one is, and is not made.
    `record` is where it is kept that there was such a call.
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
