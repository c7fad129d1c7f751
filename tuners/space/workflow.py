"""The workflow of a candidate: the agent that its `agent.*` settings describe, alone or inside another one."""

from collections.abc import Mapping
from typing import Any

from agentbench.core.errors import UserError
from agentbench.suite import registry
from agentbench.suite.config import Component
from agentbench.suite.validation import Location, validate
from tuners.space.space import Settings

PATH = "workflow"
"""The path of a workflow in a study; `workflow.OPTION` sets one of its options."""

DIRECT = "direct"
"""The workflow that adds nothing."""


def is_of_workflow(path: str) -> bool:
    return path.split(".")[0] == PATH


def parted(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the workflow, and all others."""
    of_workflow = {path: value for path, value in settings.items() if is_of_workflow(path)}
    return of_workflow, {path: value for path, value in settings.items() if path not in of_workflow}


def workflow_of(settings: Settings) -> Component | None:
    """The agent that another one is put into, without it; None for `direct`. `UserError` for what is no workflow."""
    value = settings.get(PATH, DIRECT)
    options = {path.partition(".")[2]: given for path, given in settings.items() if path.startswith(f"{PATH}.")}
    if value == DIRECT:
        if options:
            raise UserError(f"{PATH}.{next(iter(options))}: the workflow direct has no options; set one with when:")
        return None
    named = {"name": value} if isinstance(value, str) else value
    if not isinstance(named, Mapping) or not isinstance(named.get("name"), str):
        raise UserError(f"{PATH} = {value!r}: expected a name, or a mapping with name and options")
    return _checked({**named, **options})


def _checked(options: Mapping[str, Any]) -> Component:
    name = str(options["name"])
    if name not in registry.names("agents") or not _takes_inner(name):
        raise UserError(f"{PATH} = {name!r}: expected one of {', '.join(workflows())}")
    if "inner" in options:
        raise UserError(f"{PATH}.inner: the agent inside is the one that agent.* describes; leave it out")
    rest = {key: value for key, value in options.items() if key != "name"}
    validate(registry.resolve("agents", name).Config, rest, _at_workflow, (PATH,))
    return Component(name=name, **rest)


def workflows() -> list[str]:
    """The names there are: `direct`, and the agents that have another in them."""
    return [DIRECT, *(name for name in registry.names("agents") if _takes_inner(name))]


def _takes_inner(name: str) -> bool:
    return "inner" in registry.resolve("agents", name).Config.model_fields


def _at_workflow(location: Location) -> str:
    return PATH


def wrapped(agent: Component, workflow: Component | None) -> Component:
    """The agent inside the workflow's."""
    if workflow is None:
        return agent
    return Component(name=workflow.name, **workflow.options, inner=agent.model_dump(mode="json"))
