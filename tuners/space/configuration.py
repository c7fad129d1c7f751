"""A candidate's settings applied to its suite, with hashes of what decides its answers and of what runs its server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentbench.core.errors import UserError
from agentbench.core.protocols import Server
from agentbench.run.sources import NamedFiles, graded_by
from agentbench.suite import registry
from agentbench.suite.config import Component, RunConfig, as_mapping, canonical_hash
from agentbench.suite.suite import Suite, reconfigured
from agentbench.suite.validation import Location, validate
from tuners.space.space import Settings

KINDS: Mapping[str, registry.Kind] = {"agent": "agents", "serving": "servers", "backend": "backends"}
"""The section of a configuration to the kind of component that it names."""

RUNS_ELSEWHERE = "url"
"""The name of a server that does not run on this machine."""

WORKFLOW = "workflow"
"""The path of the workflow in a study; `workflow.OPTION` sets one of its options."""

DIRECT = "direct"
"""The workflow that runs the agent itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What runs a candidate; it is built once.

    `settings` are its changes to the baseline, `seed` is the seed of its attempts. `answers` is the hash of everything
    that decides its answers and their grading: cases, agent, backend, the server without its lossless knobs, repeats,
    limits, seed, scorers, and the files that these name. `served` is the hash of the server and the backend: a running
    server with the same one can serve it. `config_hash` is the hash of the run configuration. `problem` says why the
    settings do not fit the suite, "" when they do. `configured` is the suite under the settings; None when there is a
    problem, and when a table replaces the engine.
    """

    settings: Settings
    seed: int
    answers: str
    served: str
    config_hash: str = ""
    problem: str = ""
    configured: Suite | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """Equal for settings that make the same configuration, also when one names a default explicitly."""
        return f"{self.answers} {self.served}"

    @property
    def suite(self) -> Suite:
        assert self.configured is not None, self.problem
        return self.configured

    @property
    def runs_elsewhere(self) -> bool:
        """Whether its server is an external one, which the study does not start."""
        return self.suite.config.serving.name == RUNS_ELSEWHERE

    @property
    def base_url(self) -> str:
        """The external server's URL; "" for a server that the study starts."""
        return str(self.suite.config.serving.options.get("base_url", ""))


class Configurations:
    """Builds the configurations of a suite, each once, with the settings applied over the `baseline`."""

    def __init__(self, suite: Suite, baseline: Settings, seed: int) -> None:
        self._suite = suite
        self._baseline = baseline
        self._seed = seed
        self._cases = suite.content_hash()
        self._graded = graded_by(suite)
        self._files = NamedFiles(suite.root)
        self._built: dict[str, Configuration] = {}

    def of(self, settings: Settings, seed: int | None = None) -> Configuration:
        """The configuration for the settings, with the study's seed or another one."""
        chosen = self._seed if seed is None else seed
        key = canonical_hash([dict(settings), chosen])
        if key not in self._built:
            self._built[key] = self._build(settings, chosen)
        return self._built[key]

    def _build(self, settings: Settings, seed: int) -> Configuration:
        """The configuration, with a `problem` when the settings do not fit the suite."""
        try:
            return self._configure(settings, seed)
        except UserError as error:
            return Configuration(
                settings=settings,
                seed=seed,
                answers=canonical_hash(dict(settings)),
                served=self._served_hash(settings),
                problem=str(error),
            )

    def _configure(self, settings: Settings, seed: int) -> Configuration:
        suite = configured(self._suite, {**self._baseline, **settings}, seed)
        config = as_mapping(suite.config)
        files = self._files.of([config, self._graded])
        return Configuration(
            settings=settings,
            seed=seed,
            answers=canonical_hash([_answers_hash(suite, self._cases), self._graded, files]),
            served=_served_hash(suite.config),
            config_hash=canonical_hash(config),
            configured=suite,
        )

    def _served_hash(self, settings: Settings) -> str:
        """The `served` hash from the server's settings alone, when the agent's do not fit; "" when neither fit."""
        own = {path: value for path, value in settings.items() if path.split(".")[0] in ("serving", "backend")}
        try:
            return _served_hash(configured(self._suite, {**self._baseline, **own}).config)
        except UserError:
            return ""

    def value_at(self, settings: Settings, path: str) -> object:
        """The value at a path under the settings; see the function `value_at`."""
        return value_at(self._suite, {**self._baseline, **settings}, path)


def configured(suite: Suite, settings: Settings, seed: int | None = None) -> Suite:
    """The suite under the settings; `UserError` names the path of an invalid setting."""
    seeded = {} if seed is None else {"run.seed": seed}
    of_workflow, others = split_workflow({**settings, **seeded})
    found = reconfigured(suite, others, _where(settings))
    workflow = workflow_of(of_workflow)
    if workflow is None:
        return found
    agent = _around(found.config.agent, workflow).model_dump(mode="json")
    return reconfigured(found, {"agent": agent}, _at_workflow)


def _answers_hash(suite: Suite, cases: str) -> str:
    """The hash of what decides an answer in the suite; `cases` is the hash of its cases."""
    config, lossless = suite.config, lossless_knobs(suite)
    serving = _complete("servers", config.serving)
    return canonical_hash(
        {
            "cases": cases,
            "agent": _complete("agents", config.agent),
            "backend": _complete("backends", config.backend),
            "serving": {key: value for key, value in serving.items() if key not in lossless},
            "run": config.run.model_dump(mode="json", include={"repeats", "timeout_s", "limits", "seed"}),
        }
    )


def _served_hash(config: RunConfig) -> str:
    """The hash of the server and the backend, with their defaults."""
    return canonical_hash(
        {"serving": _complete("servers", config.serving), "backend": _complete("backends", config.backend)}
    )


def value_at(suite: Suite, settings: Settings, path: str) -> object:
    """The value at a dotted path of the configuration under the settings, or else its default; None without either.

    It is read from the inner agent, also when the settings have a workflow.
    """
    _, others = split_workflow(settings)
    config = reconfigured(suite, others, _where(settings)).config
    section, *keys = path.split(".")
    found: object = as_mapping(config).get(section)
    if section in KINDS:
        found = _complete(KINDS[section], getattr(config, section))
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def lossless_knobs(suite: Suite) -> frozenset[str]:
    """The knobs of the suite's server that never change an answer; none when the backend needs no server."""
    if not needs_server(suite.config.backend):
        return frozenset()
    server: Server = registry.build("servers", suite.config.serving, prefix=("serving",))
    return server.lossless_knobs


def needs_server(backend: Component) -> bool:
    return bool(registry.resolve("backends", backend.name).needs_server)


def _complete(kind: registry.Kind, component: Component) -> Mapping[str, Any]:
    """The component with its defaults, so that naming a default explicitly makes no difference."""
    config = registry.resolve(kind, component.name).Config(**component.options)
    inner = getattr(config, "inner", None)
    nested = {"inner": _complete(kind, inner)} if isinstance(inner, Component) else {}
    return {"name": component.name, **config.model_dump(mode="json"), **nested}


def _where(settings: Settings) -> Any:
    """A function from the location of a wrong key or value to the path of its setting."""

    def where(location: Location) -> str:
        dotted = ".".join(str(part) for part in location)
        setting = next((path for path in settings if dotted == path or dotted.startswith(path + ".")), None)
        return setting or "configuration"

    return where


# Workflows: an agent that runs the agent described by the `agent.*` settings inside it.


def split_workflow(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The workflow's settings, and all others."""
    of_workflow = {path: value for path, value in settings.items() if path.split(".")[0] == WORKFLOW}
    return of_workflow, {path: value for path, value in settings.items() if path not in of_workflow}


def workflow_of(settings: Settings) -> Component | None:
    """The workflow's agent without the inner one; None for `direct`. `UserError` when it is no workflow."""
    value = settings.get(WORKFLOW, DIRECT)
    options = {path.partition(".")[2]: option for path, option in settings.items() if path.startswith(f"{WORKFLOW}.")}
    if value == DIRECT:
        if options:
            raise UserError(f"{WORKFLOW}.{next(iter(options))}: the workflow direct has no options; set one with when:")
        return None
    component = {"name": value} if isinstance(value, str) else value
    if not isinstance(component, Mapping) or not isinstance(component.get("name"), str):
        raise UserError(f"{WORKFLOW} = {value!r}: expected a name, or a mapping with name and options")
    return _checked_workflow({**component, **options})


def _checked_workflow(options: Mapping[str, Any]) -> Component:
    name = str(options["name"])
    if name not in registry.names("agents") or not _takes_inner(name):
        raise UserError(f"{WORKFLOW} = {name!r}: expected one of {', '.join(_workflows())}")
    if "inner" in options:
        raise UserError(f"{WORKFLOW}.inner: the agent inside is the one that agent.* describes; leave it out")
    rest = {key: value for key, value in options.items() if key != "name"}
    validate(registry.resolve("agents", name).Config, rest, _at_workflow, (WORKFLOW,))
    return Component(name=name, **rest)


def _workflows() -> list[str]:
    """The names of all workflows: `direct`, and the agents with an inner agent."""
    return [DIRECT, *(name for name in registry.names("agents") if _takes_inner(name))]


def _takes_inner(name: str) -> bool:
    return "inner" in registry.resolve("agents", name).Config.model_fields


def _at_workflow(location: Location) -> str:
    return WORKFLOW


def _around(agent: Component, workflow: Component) -> Component:
    """The workflow's agent with the other one inside it."""
    return Component(name=workflow.name, **workflow.options, inner=agent.model_dump(mode="json"))
