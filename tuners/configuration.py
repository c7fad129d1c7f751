"""A candidate's settings applied to its suite: what decides its answers, and what only how fast they come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentbench import spec
from agentbench.config import Component, as_mapping, canonical_hash
from agentbench.suite import Suite, reconfigured
from agentbench.validation import Location
from tuners.space import Settings


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
    found = reconfigured(suite, {**settings, **seeded}, _where(settings))
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


def lossless_knobs(suite: Suite) -> frozenset[str]:
    """The knobs of the suite's server that never change an answer; none where no server is started."""
    if not needs_server(suite):
        return frozenset()
    found: frozenset[str] = spec.resolve("servers", suite.config.serving.name).lossless_knobs
    return found


def needs_server(suite: Suite) -> bool:
    return bool(spec.resolve("backends", suite.config.backend.name).needs_server)


def _complete(kind: spec.Kind, component: Component) -> Mapping[str, Any]:
    """The component with its defaults filled in, so that one that is named explicitly is no difference."""
    options = spec.resolve(kind, component.name).Config(**component.options).model_dump(mode="json")
    return {"name": component.name, **options}


def _where(settings: Settings) -> Any:
    """Names the setting that a bad key or value came from."""

    def where(location: Location) -> str:
        dotted = ".".join(str(part) for part in location)
        given = next((path for path in settings if dotted == path or dotted.startswith(path + ".")), None)
        return given or "configuration"

    return where
