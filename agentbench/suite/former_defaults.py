"""Server options whose default has changed.

Every configuration states them, so that it differs from the configurations of older runs, which lack them and had the
former defaults. The server's `Config` lists them: `FORMER_DEFAULTS`, option to former default.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from agentbench.suite import registry
from agentbench.suite.check import MODEL_OPTIONS
from agentbench.suite.config import Component, RunConfig, Serving

_SERVING: TypeAdapter[Component] = TypeAdapter(Serving)


def stated(config: RunConfig) -> RunConfig:
    """The configuration with the defaults of today, for options that it leaves out. Its names must be registered."""
    return _filled(config, stated_server)


def as_it_ran(config: RunConfig) -> RunConfig:
    """The configuration of a stored run with the former defaults, for options that it leaves out."""
    return _filled(config, lambda server: _with(server, _former_defaults(server)))


def stated_server(server: Component) -> Component:
    """The server with the defaults of today, for options that it leaves out."""
    former = _former_defaults(server)
    fields = registry.resolve("servers", server.name).Config.model_fields if former else {}
    return _with(server, {option: fields[option].default for option in former})


def _former_defaults(server: Component) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(registry.resolve("servers", server.name).Config, "FORMER_DEFAULTS", {})
    return found


def _with(server: Component, defaults: Mapping[str, Any]) -> Component:
    return Component(name=server.name, **{**defaults, **server.options})


def _filled(config: RunConfig, fill: Callable[[Component], Component]) -> RunConfig:
    needs_server = registry.resolve("backends", config.backend.name).needs_server
    serving = fill(config.serving) if needs_server else config.serving
    return config.model_copy(update={"serving": serving, "agent": _filled_agent(config.agent, fill)})


def _filled_agent(agent: Component, fill: Callable[[Component], Component]) -> Component:
    """The agent with the servers of its steps and inner agents filled. What has none stays as it was written."""
    options = agent.options
    for name in MODEL_OPTIONS:
        if isinstance(step := options.get(name), Mapping):
            options[name] = _filled_step(step, fill)
    if isinstance(inner := options.get("inner"), Mapping) and "name" in inner:
        options["inner"] = _filled_agent(Component(**inner), fill).model_dump()
    return Component(name=agent.name, **options)


def _filled_step(step: Mapping[str, Any], fill: Callable[[Component], Component]) -> Mapping[str, Any]:
    if step.get("serving") is None:
        return step
    server = _SERVING.validate_python(step["serving"])
    filled = fill(server)
    return step if filled == server else {**step, "serving": {"server": filled.name, **filled.options}}
