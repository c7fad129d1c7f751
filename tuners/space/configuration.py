"""A candidate's settings applied to its suite: those that decide its answers, and those that decide only its speed."""

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
"""The section of a configuration to the kind of what it names."""

RUNS_ELSEWHERE = "url"
"""The server that takes nothing of this machine."""

WORKFLOW = "workflow"
"""The path of a workflow in a study; `workflow.OPTION` sets one of its options."""

DIRECT = "direct"
"""The workflow that adds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a candidate is run with, made once and handed on.

    `settings` is what it changes of the baseline, `seed` that of its attempts. `answers` is the hash of all that
    decides what an attempt answers and how that is graded: cases, agent, backend, the server without its lossless
    knobs, repeats, limits, seed, scorers, and the files that these name. `served` is that of what has to be the same
    for a running server to serve it, `config_hash` that of all. `problem` says why the settings do not fit the suite,
    "" where they do. `configured` is the suite under the settings; None where there is a problem, and where a table
    answers in place of an engine.
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
        """The same for settings that make the same configuration, by default or by name."""
        return f"{self.answers} {self.served}"

    @property
    def suite(self) -> Suite:
        assert self.configured is not None, self.problem
        return self.configured

    @property
    def runs_elsewhere(self) -> bool:
        """Whether its server is somebody else's."""
        return self.suite.config.serving.name == RUNS_ELSEWHERE

    @property
    def base_url(self) -> str:
        """Where that server is; "" where ours is started."""
        return str(self.suite.config.serving.options.get("base_url", ""))


class Configurations:
    """Makes the configurations of a suite, each once; `baseline` is applied under all settings."""

    def __init__(self, suite: Suite, baseline: Settings, seed: int) -> None:
        self._suite = suite
        self._baseline = baseline
        self._seed = seed
        self._cases = suite.content_hash()
        self._graded = graded_by(suite)
        self._files = NamedFiles(suite.root)
        self._made: dict[str, Configuration] = {}

    def of(self, settings: Settings, seed: int | None = None) -> Configuration:
        """With the study's seed, or another one."""
        chosen = self._seed if seed is None else seed
        named = canonical_hash([dict(settings), chosen])
        if named not in self._made:
            self._made[named] = self._of(settings, chosen)
        return self._made[named]

    def _of(self, settings: Settings, seed: int) -> Configuration:
        try:
            return self._fitting(settings, seed)
        except UserError as error:
            return Configuration(
                settings=settings,
                seed=seed,
                answers=canonical_hash(dict(settings)),
                served=self._served_alone(settings),
                problem=str(error),
            )

    def _fitting(self, settings: Settings, seed: int) -> Configuration:
        suite = configured(self._suite, {**self._baseline, **settings}, seed)
        config = as_mapping(suite.config)
        files = self._files.of([config, self._graded])
        return Configuration(
            settings=settings,
            seed=seed,
            answers=canonical_hash([_deciding(suite, self._cases), self._graded, files]),
            served=_served(suite.config),
            config_hash=canonical_hash(config),
            configured=suite,
        )

    def _served_alone(self, settings: Settings) -> str:
        """By the settings of its server, where those of its agent are no agent's (yet); "" where they are wrong too."""
        own = {path: value for path, value in settings.items() if path.split(".")[0] in ("serving", "backend")}
        try:
            return _served(configured(self._suite, {**self._baseline, **own}).config)
        except UserError:
            return ""

    def value_at(self, settings: Settings, path: str) -> object:
        return value_at(self._suite, {**self._baseline, **settings}, path)


def configured(suite: Suite, settings: Settings, seed: int | None = None) -> Suite:
    """The suite under the settings; `UserError` names the path of a bad one."""
    seeded = {} if seed is None else {"run.seed": seed}
    of_workflow, others = parted({**settings, **seeded})
    found = reconfigured(suite, others, _where(settings))
    workflow = workflow_of(of_workflow)
    if workflow is None:
        return found
    agent = _around(found.config.agent, workflow).model_dump(mode="json")
    return reconfigured(found, {"agent": agent}, _at_workflow)


def _deciding(suite: Suite, cases: str) -> str:
    """The hash of what decides an answer; `cases` is that of the cases."""
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


def _served(config: RunConfig) -> str:
    return canonical_hash(
        {"serving": _complete("servers", config.serving), "backend": _complete("backends", config.backend)}
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


def lossless_knobs(suite: Suite) -> frozenset[str]:
    """The knobs of the suite's server that never change an answer; none where no server is started."""
    if not needs_server(suite.config.backend):
        return frozenset()
    server: Server = registry.build("servers", suite.config.serving, prefix=("serving",))
    return server.lossless_knobs


def needs_server(backend: Component) -> bool:
    return bool(registry.resolve("backends", backend.name).needs_server)


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


# The workflow: the agent that its `agent.*` settings describe, alone or inside another one.


def parted(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the workflow, and all others."""
    of_workflow = {path: value for path, value in settings.items() if path.split(".")[0] == WORKFLOW}
    return of_workflow, {path: value for path, value in settings.items() if path not in of_workflow}


def workflow_of(settings: Settings) -> Component | None:
    """The agent that another one is put into, without it; None for `direct`. `UserError` for what is no workflow."""
    value = settings.get(WORKFLOW, DIRECT)
    options = {path.partition(".")[2]: given for path, given in settings.items() if path.startswith(f"{WORKFLOW}.")}
    if value == DIRECT:
        if options:
            raise UserError(f"{WORKFLOW}.{next(iter(options))}: the workflow direct has no options; set one with when:")
        return None
    named = {"name": value} if isinstance(value, str) else value
    if not isinstance(named, Mapping) or not isinstance(named.get("name"), str):
        raise UserError(f"{WORKFLOW} = {value!r}: expected a name, or a mapping with name and options")
    return _checked({**named, **options})


def _checked(options: Mapping[str, Any]) -> Component:
    name = str(options["name"])
    if name not in registry.names("agents") or not _takes_inner(name):
        raise UserError(f"{WORKFLOW} = {name!r}: expected one of {', '.join(_workflows())}")
    if "inner" in options:
        raise UserError(f"{WORKFLOW}.inner: the agent inside is the one that agent.* describes; leave it out")
    rest = {key: value for key, value in options.items() if key != "name"}
    validate(registry.resolve("agents", name).Config, rest, _at_workflow, (WORKFLOW,))
    return Component(name=name, **rest)


def _workflows() -> list[str]:
    """The names there are: `direct`, and the agents that have another in them."""
    return [DIRECT, *(name for name in registry.names("agents") if _takes_inner(name))]


def _takes_inner(name: str) -> bool:
    return "inner" in registry.resolve("agents", name).Config.model_fields


def _at_workflow(location: Location) -> str:
    return WORKFLOW


def _around(agent: Component, workflow: Component) -> Component:
    """The agent inside the workflow's."""
    return Component(name=workflow.name, **workflow.options, inner=agent.model_dump(mode="json"))
