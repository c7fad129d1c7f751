"""Names and options of what is built later, checked now: a mistake shows before a server is started."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agentbench import spec
from agentbench.case import Case
from agentbench.config import Component, RunConfig
from agentbench.errors import UserError, unknown_name
from agentbench.protocols import KnowsTools
from agentbench.tools import load_tools
from agentbench.validation import Location, validate

Where = Callable[[Location], str]

MODEL_OPTIONS = ("plan_model", "retry_model")
"""Options of agents that name the model of a step."""


def check_components(config: RunConfig, where: Where) -> None:
    """`UserError` for a name that is not registered, or an option that its implementation does not take."""
    for kind, key, component in (("backends", "backend", config.backend), ("servers", "serving", config.serving)):
        _check(kind, component, where, (key,))  # type: ignore[arg-type]
    for location, agent in _agents(config.agent, where):
        for name in MODEL_OPTIONS:
            _check_model(getattr(agent, name, None), where, (*location, name))


def check_model(serving: Component | None, backend: Component | None, where: Where, prefix: Location) -> None:
    """The same of a model beside the run's."""
    for kind, key, component in (("servers", "serving", serving), ("backends", "backend", backend)):
        if component is not None:
            _check(kind, component, where, (*prefix, key))  # type: ignore[arg-type]


def _check_model(options: Any, where: Where, prefix: Location) -> None:
    if options is not None:
        check_model(options.serving, options.backend, where, prefix)


def step_servers(agent: Component) -> Iterator[Component]:
    """The servers that steps of the agent, and of those in it, have for themselves."""
    for _, config in _agents(agent, lambda location: "agent"):
        for name in MODEL_OPTIONS:
            options = getattr(config, name, None)
            if options is not None and options.serving is not None:
                yield options.serving


def check_tools(tools: Sequence[str | Component], where: Where) -> None:
    for index, tool in enumerate(tools):
        if isinstance(tool, Component):
            _check("tools", tool, where, ("tools", index))


def check_offered(
    agent: Component, tools: Sequence[str | Component], cases: Sequence[Case], root: Path, where: Where
) -> None:
    """`UserError` for a tool that the agent is to offer or describe and that neither the suite nor a case has.

    Not where a source of the suite knows its tools only in an attempt (an MCP server).
    """
    for location, config in _agents(agent, where):
        for key in ("tools", "tool_descriptions"):
            if named := getattr(config, key, None):
                known = _known_tools(tools, cases, root)
                missing = next((name for name in named if known is not None and name not in known), None)
                if missing is not None:
                    dotted = (*location, key)
                    told = unknown_name("tool", missing, known or ())
                    raise UserError(f"{where(dotted)}: {'.'.join(map(str, dotted))}: {told}")


def _known_tools(tools: Sequence[str | Component], cases: Sequence[Case], root: Path) -> frozenset[str] | None:
    """Every name there may be in an attempt; None when that is not known."""
    found = {tool.name for case in cases for tool in case.tools}
    for source in load_tools(tools, root):
        if not isinstance(source, KnowsTools):
            return None
        found |= set(source.names)
    return frozenset(found)


def _agents(agent: Component, where: Where) -> Iterator[tuple[Location, BaseModel]]:
    """The options of the agent, checked, and of those in it, with their places."""
    location: Location = ("agent",)
    following: Component | None = agent
    while following is not None:
        config = _check("agents", following, where, location)
        yield location, config
        inner = getattr(config, "inner", None)
        following, location = (inner if isinstance(inner, Component) else None), (*location, "inner")


def _check(kind: spec.Kind, component: Component, where: Where, location: Location) -> BaseModel:
    named = "server" if kind == "servers" else "name"
    found = spec.resolve(kind, component.name, where((*location, named)))
    checked: BaseModel = validate(found.Config, component.options, where, location)
    return checked
