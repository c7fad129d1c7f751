"""A candidate's settings applied to its suite: what decides its answers, and what only how fast they come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentbench.core.protocols import Server
from agentbench.suite import registry
from agentbench.suite.config import Component, as_mapping, canonical_hash
from agentbench.suite.suite import Suite, reconfigured
from agentbench.suite.validation import Location
from tuners.space.space import Settings
from tuners.space.workflow import parted, workflow_of, wrapped

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
