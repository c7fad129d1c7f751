"""The configuration of a run: components by registered name, and how the run is driven.

The same dotted paths (`agent.output`, `serving.max_num_seqs`, `run.concurrency`) serve YAML, `--set`, the store and
reports.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from agentbench.core.durations import Seconds
from agentbench.core.errors import UserError
from agentbench.suite.yaml_file import Document, read_yaml

SECTIONS = ("agent", "serving", "backend", "run")
"""The top-level keys of a configuration."""


class Component(BaseModel):
    """An implementation by its registered `name`; every other key is an option of that implementation."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def _server_key(value: Any) -> Any:
    """Reads `serving: {server: bundled, …}`, which reads better than `name`; inside, they are the same key."""
    if not isinstance(value, Mapping):
        return value
    rest = dict(value)
    return {"name": rest.pop("server", "bundled"), **rest}


Serving = Annotated[Component, BeforeValidator(_server_key)]


class Limits(BaseModel):
    """What an attempt may use, whatever its agent; exceeding a limit ends it with a `budget` failure."""

    # Pydantic before 2.10 warns of every field whose name begins with model_.
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model_calls: int | None = Field(None, ge=1, description="Most model calls.")
    tool_calls: int | None = Field(None, ge=0, description="Most tool calls.")
    tokens: int | None = Field(
        None,
        ge=1,
        description="Most tokens: prompts and completions of all calls, as the server counts them. A streamed answer "
        "without a count has at least one token per chunk.",
    )
    seconds: float | None = Field(None, gt=0, description="Most seconds of an attempt.")


LATER = ("tool_timeout_s", "scorer_timeout_s")
"""Options that the configurations of older runs lack."""


class RunOptions(BaseModel):
    """How a run is driven. Only `concurrency` affects what is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repeats: int = Field(1, ge=1, description="Times each case is run, each with a seed of its own.")
    concurrency: int = Field(16, ge=1, description="Attempts in flight at once.")
    timeout_s: float = Field(300.0, gt=0, description="Limit of one attempt in seconds.")
    max_tries: int = Field(3, ge=1, description="Tries of an attempt that ends in an infra failure.")
    backoff_s: float = Field(0.5, ge=0, description="Pause before the second try; doubled for each further one.")
    seed: int = Field(0, ge=0, description="Seed that the attempts' own seeds are derived from.")
    tool_timeout_s: float = Field(
        30.0, gt=0, description="Seconds that one tool call may take; then the agent gets an error."
    )
    scorer_timeout_s: float = Field(600.0, gt=0, description="Seconds that a scorer may take for an attempt.")
    limits: Limits = Field(Limits(), description="What an attempt may use before it ends as a budget failure.")
    limit: int | None = Field(None, ge=1, description="Run only so many cases, drawn by sample_seed.")
    sample_seed: int = Field(0, ge=0, description="Seed of the draw that `limit` makes.")

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out newer options with their default value, so that a configuration's hash stays what it was before
        them.
        """
        written: dict[str, Any] = write(self)
        fields = type(self).model_fields
        return {key: value for key, value in written.items() if key not in LATER or value != fields[key].default}


class RunConfig(BaseModel):
    """Everything that decides a run's behaviour, except the suite's cases."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: Component
    serving: Serving = Component(name="bundled")
    backend: Component = Component(name="openai_http")
    run: RunOptions = RunOptions()


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """Parses `["agent.output=free", …]` to dotted path and value; values are read as YAML."""
    overrides: dict[str, Any] = {}
    for pair in pairs:
        path, separator, text = pair.partition("=")
        if not separator or path.split(".")[0] not in SECTIONS:
            raise UserError(
                f"--set {pair!r}: expected PATH=VALUE with a path under {', '.join(SECTIONS)},"
                " for example agent.output=free or serving.max_num_seqs=8."
            )
        try:
            overrides[path] = yaml.safe_load(text)
        except yaml.YAMLError:
            overrides[path] = text
    return overrides


def apply_overrides(data: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `data` with each dotted path set.

    Another implementation (`agent=chat`, `agent.name=chat`, `serving.server=url`) drops the options of the one it
    replaces.
    """
    result: dict[str, Any] = deepcopy(dict(data))
    for path, value in overrides.items():
        section, *keys = path.split(".")
        if not keys or (section != "run" and keys in (["name"], ["server"])):
            result[section] = _switch(result.get(section), value)
        else:
            _set(result, [section, *keys], value)
    return result


def _switch(current: Any, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    name = current.get("name", current.get("server")) if isinstance(current, Mapping) else current
    return current if name == value else {"name": value}


def _set(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        child = tree.get(key)
        if isinstance(child, str):
            child = {"name": child}
        tree[key] = dict(child) if isinstance(child, Mapping) else {}
        tree = tree[key]
    tree[keys[-1]] = value


def canonical_hash(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """SHA-256 of the value's canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(_canonical(value, default)).hexdigest()


def _canonical(value: Any, default: Callable[[Any], Any] | None) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=default)
    return text.encode("utf-8", "surrogatepass")


def canonical_list_hash(values: Iterable[Any]) -> str:
    """`canonical_hash` of the list of the values, without holding them in memory together."""
    digest = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        digest.update(("," if number else "").encode() + _canonical(value, None))
    digest.update(b"]")
    return digest.hexdigest()


def as_mapping(config: RunConfig) -> dict[str, Any]:
    """The configuration in its YAML form; reading it again gives an equal configuration."""
    data = config.model_dump(mode="json")
    serving = data["serving"]
    data["serving"] = {"server": serving.pop("name"), **serving}
    return data


def read_settings(path: Path) -> dict[str, Any]:
    """Reads settings as dotted path and value, written as paths (`agent.output: free`) or sections (`agent: {output:
    free}`).

    `UserError` names file and line of an invalid key.
    """
    document = read_yaml(path)
    settings: dict[str, Any] = {}
    for key, value in document.data.items():
        settings.update(_settings(str(key), value, document))
    return settings


def _settings(key: str, value: Any, document: Document) -> Iterator[tuple[str, Any]]:
    if key.split(".")[0] not in SECTIONS:
        raise UserError(
            f"{document.where((key,))}: unknown key {key!r}. Valid: {', '.join(SECTIONS)}, or a path under them"
            " such as agent.output"
        )
    if "." in key or not isinstance(value, Mapping):
        yield key, value
        return
    # The name comes first, since it drops the options of the implementation it replaces.
    for name in sorted(value, key=lambda name: name not in ("name", "server")):
        yield f"{key}.{name}", value[name]


GateTest = Literal["regression", "non_inferiority"]


class Slo(BaseModel):
    """Limits on a run's serving figures, named as METRIC_STATISTIC; each that is set must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ttft_p50: Seconds | None = Field(None, gt=0, description="Median time to first token over the model calls.")
    ttft_p95: Seconds | None = Field(None, gt=0)
    ttft_p99: Seconds | None = Field(None, gt=0)
    tpot_p50: Seconds | None = Field(None, gt=0, description="Median time per output token over the model calls.")
    tpot_p95: Seconds | None = Field(None, gt=0)
    latency_p50: Seconds | None = Field(None, gt=0, description="Median latency of a model call.")
    latency_p95: Seconds | None = Field(None, gt=0)
    goodput: float | None = Field(None, gt=0, description="Least attempts per second that are right within objectives.")
    output_tokens_per_s: float | None = Field(None, gt=0, description="Least output throughput.")


class GateOptions(BaseModel):
    """The conditions for a run to pass its gate. An option that is not set is not checked.

    `test` decides how the run is compared with the baseline. `regression` fails when the run is shown to be worse
    (one-sided `alpha`); `non_inferiority` fails unless it is shown to be not worse than `margin`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_pass_rate: float | None = Field(None, ge=0, le=1, description="Least share of right attempts.")
    min_pass_hat_k: float | None = Field(
        None, ge=0, le=1, description="Least pass^k: the share of cases that are right in all of the run's k repeats."
    )
    baseline: str | None = Field(None, description="A baseline's name, or a run, that it must not be worse than.")
    test: GateTest = "regression"
    margin: float = Field(0.02, ge=0, lt=1, description="How much worse still counts as not worse (a fraction).")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Share of unchanged runs that a regression gate may fail.")
    max_failed_share: float = Field(
        0.05, ge=0, le=1, description="Share of attempts that the server, a tool or a scorer may fail."
    )
    slo: Slo = Slo()

    @field_validator("baseline")
    @classmethod
    def _named(cls, name: str | None) -> str | None:
        if name is not None and not name.strip():
            raise ValueError("it names no baseline (a variable that is not set?); give a name, or leave it out")
        return name
