"""A candidate's settings applied to its suite: what decides its answers, and what only how fast they come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentbench.core.errors import UserError
from agentbench.core.protocols import Server
from agentbench.run.sources import NamedFiles, graded_by
from agentbench.suite import registry
from agentbench.suite.config import Component, as_mapping, canonical_hash
from agentbench.suite.suite import Suite, reconfigured
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


KINDS: Mapping[str, registry.Kind] = {"agent": "agents", "serving": "servers", "backend": "backends"}
"""The section of a configuration to the kind of what it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """`suite` is configured by the settings.

    `answers` is the hash of all that decides what an attempt answers: cases, agent, backend, the server without its
    lossless knobs, repeats, limits and seed. `served` is that of what has to be the same for a running server to
    serve it.
    """

    suite: Suite
    answers: str
    served: str

    @property
    def config_hash(self) -> str:
        return canonical_hash(as_mapping(self.suite.config))


def configure(suite: Suite, settings: Settings, seed: int | None = None) -> Configuration:
    """The suite under the settings; `UserError` names the path of a bad one."""
    seeded = {} if seed is None else {"run.seed": seed}
    of_workflow, others = parted({**settings, **seeded})
    found = _in_workflow(reconfigured(suite, others, _where(settings)), of_workflow)
    config = found.config
    serving = _complete("servers", config.serving)
    lossless = lossless_knobs(found)
    run = config.run.model_dump(mode="json", include={"repeats", "timeout_s", "limits", "seed"})
    backend = _complete("backends", config.backend)
    deciding = {
        "cases": found.content_hash(),
        "agent": _complete("agents", config.agent),
        "backend": backend,
        "serving": {key: value for key, value in serving.items() if key not in lossless},
        "run": run,
    }
    return Configuration(
        suite=found, answers=canonical_hash(deciding), served=canonical_hash({"serving": serving, "backend": backend})
    )


def answers_hash(configuration: Configuration, files: NamedFiles) -> str:
    """Of all that decides what an attempt answers and how that is graded, files included: studies that have the same
    one may share the answer."""
    suite = configuration.suite
    parts = graded_by(suite)
    return canonical_hash([configuration.answers, parts, files.of([as_mapping(suite.config), parts])])


def value_at(suite: Suite, settings: Settings, path: str) -> object:
    """What a dotted path of the configuration has under the settings, by default where they say nothing, whatever
    workflow is around it; None for nothing."""
    _, others = parted(settings)
    config = reconfigured(suite, others, _where(settings)).config
    section, *keys = path.split(".")
    found: object = as_mapping(config).get(section)
    if section in KINDS:
        found = _complete(KINDS[section], getattr(config, section))
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _in_workflow(suite: Suite, settings: Settings) -> Suite:
    """The suite with its agent, whatever its settings made of it, inside that of the workflow."""
    workflow = workflow_of(settings)
    if workflow is None:
        return suite
    agent = wrapped(suite.config.agent, workflow).model_dump(mode="json")
    return reconfigured(suite, {"agent": agent}, lambda location: "workflow")


def lossless_knobs(suite: Suite) -> frozenset[str]:
    """The knobs of the suite's server that never change an answer; none where no server is started."""
    if not needs_server(suite):
        return frozenset()
    server: Server = registry.build("servers", suite.config.serving, prefix=("serving",))
    return server.lossless_knobs


def needs_server(suite: Suite) -> bool:
    return bool(registry.resolve("backends", suite.config.backend.name).needs_server)


def _complete(kind: registry.Kind, component: Component) -> Mapping[str, Any]:
    """The component with its defaults filled in, so that one that is named explicitly is no difference."""
    config = registry.resolve(kind, component.name).Config(**component.options)
    inner = getattr(config, "inner", None)
    nested = {"inner": _complete(kind, inner)} if isinstance(inner, Component) else {}
    return {"name": component.name, **config.model_dump(mode="json"), **nested}


def _where(settings: Settings) -> Any:
    """Names the setting that a bad key or value came from."""

    def where(location: Location) -> str:
        dotted = ".".join(str(part) for part in location)
        given = next((path for path in settings if dotted == path or dotted.startswith(path + ".")), None)
        return given or "configuration"

    return where
