"""Checks names, options and cases when a suite is read, so that mistakes show before a server is started."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agentbench.core.case import Case
from agentbench.core.errors import UserError, unknown_name
from agentbench.core.protocols import KnowsTools
from agentbench.scorers.expected import brief
from agentbench.suite import registry
from agentbench.suite.config import Component, RunConfig
from agentbench.suite.validation import Location, validate
from agentbench.tools import load_tools

Where = Callable[[Location], str]

MODEL_OPTIONS = ("plan_model", "retry_model")
"""Agent options that name a step's model."""


def check_components(config: RunConfig, where: Where) -> None:
    """`UserError` for a name that is not registered, or an option that its implementation does not accept."""
    for kind, key, component in (("backends", "backend", config.backend), ("servers", "serving", config.serving)):
        _check(kind, component, where, (key,))  # type: ignore[arg-type]
    for location, agent in _agents(config.agent, where):
        for name in MODEL_OPTIONS:
            _check_model(getattr(agent, name, None), where, (*location, name))


def check_model(serving: Component | None, backend: Component | None, where: Where, prefix: Location) -> None:
    """The same check for a model beside the run's."""
    for kind, key, component in (("servers", "serving", serving), ("backends", "backend", backend)):
        if component is not None:
            _check(kind, component, where, (*prefix, key))  # type: ignore[arg-type]


def _check_model(options: Any, where: Where, prefix: Location) -> None:
    if options is not None:
        check_model(options.serving, options.backend, where, prefix)


def step_servers(agent: Component) -> Iterator[Component]:
    """The servers of the agent's steps with their own model, inner agents included."""
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
    """`UserError` for a tool that the agent should offer or describe but that neither the suite nor a case has.

    It is skipped when a tool source lists its tools only during an attempt (an MCP server).
    """
    for location, config in _agents(agent, where):
        for key in ("tools", "tool_descriptions"):
            if named := getattr(config, key, None):
                tool_names = _tool_names(tools, cases, root)
                missing = next((name for name in named if tool_names is not None and name not in tool_names), None)
                if missing is not None:
                    dotted = (*location, key)
                    error = unknown_name("tool", missing, tool_names or ())
                    raise UserError(f"{where(dotted)}: {'.'.join(map(str, dotted))}: {error}")


def _tool_names(tools: Sequence[str | Component], cases: Sequence[Case], root: Path) -> frozenset[str] | None:
    """The names of all tools; None when a source lists its tools only during an attempt."""
    found = {tool.name for case in cases for tool in case.tools}
    for source in load_tools(tools, root):
        if not isinstance(source, KnowsTools):
            return None
        found |= set(source.names)
    return frozenset(found)


def _agents(agent: Component, where: Where) -> Iterator[tuple[Location, BaseModel]]:
    """The validated options of the agent and its inner agents, with their places."""
    location: Location = ("agent",)
    following: Component | None = agent
    while following is not None:
        config = _check("agents", following, where, location)
        yield location, config
        inner = getattr(config, "inner", None)
        following, location = (inner if isinstance(inner, Component) else None), (*location, "inner")


def _check(kind: registry.Kind, component: Component, where: Where, location: Location) -> BaseModel:
    named = "server" if kind == "servers" else "name"
    found = registry.resolve(kind, component.name, where((*location, named)))
    checked: BaseModel = validate(found.Config, component.options, where, location)
    return checked


ROLES = ("system", "developer", "user", "assistant", "tool", "function")
GATE = "gate"
"""Name of the item that decides a suite of mode `gate`."""

UNSELECTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, separators of lines and lone surrogates: no command line and no list of ids can hold them."""


def check_case(case: Case, mode: str) -> None:
    """`UserError` for a case that is no valid input for an agent, can't be selected by its id, or can't be stored."""
    if mistake := _id_mistake(case.id, mode) or _messages_mistake(case.messages):
        raise UserError(f"case {case.id!r}: {mistake}")
    try:
        json.dumps([case.expected, case.messages, case.metadata, case.user], allow_nan=False)
        json.dumps([asdict(tool) for tool in case.tools], allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"case {case.id!r}: its content is not JSON, so it can't be stored: {error}") from None


def _id_mistake(case_id: str, mode: str) -> str | None:
    if not case_id.strip():
        return "the id is empty; give each case one by which it can be selected"
    if UNSELECTABLE.search(case_id):
        return "a control character or half of a surrogate pair is in the id; use characters that can be typed"
    if "::" in case_id:
        return "the id contains '::', at which pytest splits a test's name; use another separator, such as '/'"
    if case_id == GATE and mode == "gate":
        return "mode gate uses this id for its own item; give the case another id"
    return None


def _messages_mistake(messages: tuple[Any, ...]) -> str | None:
    if not messages:
        return "it has no message; give a text, or a list of one message or more"
    return next((f"message {n}: {wrong}" for n, each in enumerate(messages, 1) if (wrong := _mistake(each))), None)


def _mistake(message: Any) -> str | None:
    """What is wrong with a message of the case, or None."""
    if not isinstance(message, Mapping):
        return f"{brief(message)} is no message; expected an object with role and content"
    role = message.get("role")
    if role not in ROLES:
        return f"role = {brief(role)}; valid: {', '.join(ROLES)}"
    if isinstance(message.get("content"), str | list):
        return None
    if role == "assistant" and (message.get("tool_calls") or message.get("function_call")):
        return None
    return f"content = {brief(message.get('content'))}; expected a text, or a list of parts"
