"""A study.yaml: the suite, the space, the objectives and the budget; and the split of the cases."""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentbench.core.case import Case
from agentbench.core.durations import Seconds
from agentbench.core.errors import UserError
from agentbench.suite.config import SECTIONS
from agentbench.suite.suite import Objectives, Suite
from agentbench.suite.validation import Location, validate
from agentbench.suite.yaml_file import read_yaml
from tuners.search.budget import BudgetOptions
from tuners.search.evaluator import limits_of
from tuners.search.trials import SamplerName
from tuners.space.configuration import WORKFLOW
from tuners.space.parameters import AnyParameter, Condition
from tuners.space.space import Space


class SplitOptions(BaseModel):
    """How many cases are in train and in test: an integer is a count, a fraction is a share of all cases.

    The other cases are not used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    test: int | float = Field(0.5, gt=0, description="Share (below 1) or number of cases held out for the verdict.")
    train: int | float | None = Field(
        None, gt=0, description="Share or number of cases to search on; all others by default."
    )
    seed: int = Field(0, ge=0)

    @field_validator("test", "train")
    @classmethod
    def _share_or_count(cls, value: int | float | None) -> int | float | None:
        if isinstance(value, float) and value >= 1:
            raise ValueError("a share is below 1, and a number of cases is whole, for example 0.5 or 200")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The case ids of train and of test, each in the order in which they were drawn."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def split_cases(cases: Sequence[Case], options: SplitOptions) -> Split:
    """Draws whole clusters by seed, first for `test`, then for `train`.

    A side never has more cases than wanted. It may have fewer, by less than a cluster. `UserError` when a side would
    be empty.
    """
    clusters: dict[str, list[str]] = {}
    for case in cases:
        clusters.setdefault(case.cluster, []).append(case.id)
    waiting = list(clusters.values())
    random.Random(options.seed).shuffle(waiting)
    test = _draw(waiting, _count(options.test, len(cases)))
    rest = len(cases) - len(test)
    train = _draw(waiting, rest if options.train is None else min(rest, _count(options.train, len(cases))))
    for name, ids in (("test", test), ("train", train)):
        if not ids:
            raise UserError(
                f"split: no {name} cases, from {len(cases)} in {len(clusters)} clusters with test = {options.test}"
                f" and train = {options.train}; use more cases or another share"
            )
    return Split(train=tuple(train), test=tuple(test))


def _count(wanted: int | float, total: int) -> int:
    return int(wanted * total) if wanted < 1 else int(wanted)


def _draw(waiting: list[list[str]], most: int) -> list[str]:
    """Removes clusters from `waiting` as long as they fit into `most` cases, and returns their case ids."""
    taken: list[str] = []
    for cluster in list(waiting):
        if len(taken) + len(cluster) <= most:
            taken += cluster
            waiting.remove(cluster)
    return taken


Metric = Literal[
    "quality", "goodput", "output_tokens_per_s", "ttft_p50", "ttft_p95", "tpot_p50", "latency_p95", "tokens", "cost"
]
Where = Callable[[Location], str]
"""The location of a key to its place in the file, for messages."""

SIDES = ("winner", "baseline", "served")
"""The names of a verdict's own runs on the test cases."""

TIMES = ("ttft_p50", "ttft_p95", "tpot_p50", "latency_p95")
"""The metrics whose bound may be a duration, for example 500ms."""


class RungOptions(BaseModel):
    """How candidates climb the rungs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: tuple[int, ...] = Field((8, 16, 32, 64), description="Cases answered after each rung; then all of train.")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Chance of dropping a candidate that is not worse.")
    opening: int = Field(4, ge=1, description="Candidates that answer the first rung before any continues.")
    together: int = Field(4, ge=1, description="Suggestions made at a time, so that those for one server run in a row.")
    finalists: int = Field(2, ge=1, description="Best candidates that answer all of train again, with fresh seeds.")


class ReplayOptions(BaseModel):
    """How servers are compared by replays of recorded traces."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(48, ge=1, description="Most attempts replayed to measure a lossless knob.")
    rounds: int = Field(4, ge=2, description="Rounds of the winner's server and the baseline's, in turn.")


class Resources(BaseModel):
    """What Ray reserves for each worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: float = Field(1, ge=0, description="Cores.")
    gpus: float = Field(0, ge=0, description="GPUs.")


class StudyFile(BaseModel):
    """The keys of a study.yaml. The paths in `baseline` and `space` are those of `agentbench run --set`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)
    suite: Path = Field(Path(), description="The suite's directory, from the study's own.")
    baseline: Mapping[str, Any] = Field(default_factory=dict)
    references: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict,
        description="Other settings over the baseline's, by name; the winner is compared with them on test.",
    )
    split: SplitOptions = SplitOptions()
    objectives: tuple[Metric, ...] = Field(("quality", "goodput"), min_length=1)
    slo: Objectives | None = Field(
        None, description="What an attempt must meet to count in goodput; the suite's objectives when left out."
    )
    constraints: Mapping[Metric, Seconds] = Field(default_factory=dict)
    budget: BudgetOptions
    space: Mapping[str, AnyParameter] = Field(min_length=1)
    forbidden: tuple[Condition, ...] = ()
    search: Literal["factorized", "flat"] = "factorized"
    sampler: SamplerName = "tpe"
    rungs: RungOptions = RungOptions()
    max_failures: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of a candidate's attempts that server, tools and scorers may fail; above it, it is broken.",
    )
    replay: ReplayOptions = ReplayOptions()
    prices: Mapping[str, Mapping[Literal["prompt", "cached", "completion"], Annotated[float, Field(ge=0)]]] = Field(
        default_factory=dict, description="Model to the price of a million prompt, cached and completion tokens."
    )
    resources: Resources = Resources()
    seed: int = Field(0, ge=0)

    @field_validator("references")
    @classmethod
    def _distinct_names(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if taken := next((name for name in SIDES if name in value), None):
            raise ValueError(f"every verdict has a run named {taken!r}; give the reference another name")
        return value

    @property
    def wants_cost(self) -> bool:
        return "cost" in (*self.objectives, *self.constraints)

    def all_prices(self, suite: Suite) -> dict[str, Mapping[str, float]]:
        """The prices of the suite, replaced by the study's own."""
        own = {model: {str(kind): price for kind, price in prices.items()} for model, prices in self.prices.items()}
        return {**suite.prices, **own}

    def bounds(self) -> dict[str, float]:
        """The bound of each constraint: times in seconds, rates per second."""
        return {str(metric): bound for metric, bound in self.constraints.items()}

    def parameters(self) -> Space:
        return Space(parameters=self.space, forbidden=self.forbidden)


def read_study(path: Path, overrides: Mapping[str, Any]) -> tuple[StudyFile, dict[str, Any], Where]:
    """The study, its document with the `overrides`, and the function that finds a key's place in the file.

    The suite's path is absolute in both. `UserError` names the file, the line and the key of an error.
    """
    document = read_yaml(path)

    def where(location: Location) -> str:
        return document.where(location)

    data = overridden(document.data, overrides)
    suite = data.get("suite", ".")
    data["suite"] = str((path.parent / str(suite)).resolve())
    return checked_study(data, where), data, where


def checked_study(data: Mapping[str, Any], where: Where) -> StudyFile:
    """The study that a document describes."""
    for key, value in data.items():
        _check_plain(value, (key,), where)
    _check_units(data, where)
    study = validate(StudyFile, data, where)
    for key, paths in (("space", study.space), ("baseline", study.baseline)):
        for dotted in paths:
            if dotted.split(".")[0] not in (*SECTIONS, WORKFLOW):
                raise UserError(
                    f"{where((key, dotted))}: {key}.{dotted}: expected {WORKFLOW}, or a path under"
                    f" {', '.join(SECTIONS)}, for example agent.output or serving.quantization"
                )
    try:
        limits_of(study.bounds())
    except UserError as error:
        raise UserError(f"{where(('constraints',))}: {error}") from None
    try:
        study.parameters()
    except UserError as error:
        key = "forbidden" if str(error).startswith("forbidden") else "space"
        raise UserError(f"{where((key,))}: {error}") from None
    return study


def _check_plain(value: Any, location: Location, where: Where) -> None:
    """`UserError` for YAML values that JSON can't represent: dates, sets, infinite numbers and nan."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_plain(key, (*location, str(key)), where)
            _check_plain(inner, (*location, str(key)), where)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check_plain(inner, (*location, index), where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where(location)}: {_dotted(location)} = {value}: expected a finite number")
    elif not isinstance(value, str | int | float | None):
        raise UserError(
            f"{where(location)}: {_dotted(location)} = {value}: YAML reads this as a {type(value).__name__}; put it in"
            " quotes to make it text"
        )


def _check_units(data: Mapping[str, Any], where: Where) -> None:
    """`UserError` for a duration as the bound of a metric that is no time."""
    bounds = data.get("constraints")
    for metric, bound in bounds.items() if isinstance(bounds, Mapping) else ():
        if isinstance(bound, str) and metric not in TIMES:
            raise UserError(f"{where(('constraints', metric))}: constraints.{metric} = {bound!r}: expected a number")


def _dotted(location: Location) -> str:
    return ".".join(map(str, location))


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """`["budget.seconds=900", …]` as path to value, each value read as YAML."""
    found: dict[str, Any] = {}
    for pair in pairs:
        path, separator, text = pair.partition("=")
        if not separator or path.split(".")[0] not in StudyFile.model_fields:
            raise UserError(
                f"--set {pair!r}: expected PATH=VALUE with a path of the study ({', '.join(StudyFile.model_fields)}),"
                " for example budget.seconds=900"
            )
        try:
            found[path] = yaml.safe_load(text)
        except yaml.YAMLError:
            found[path] = text
    return found


def overridden(data: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with each path set. Only the first dot of a path separates keys: those under `space` contain dots."""
    result = dict(data)
    for path, value in overrides.items():
        key, separator, rest = path.partition(".")
        if separator:
            inner = result.get(key)
            result[key] = {**(inner if isinstance(inner, Mapping) else {}), rest: value}
        else:
            result[key] = value
    return result
