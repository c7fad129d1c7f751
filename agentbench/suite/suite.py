"""A suite: a named, versioned list of cases, with the agent and the scorers it uses by default."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentbench.core.case import Case
from agentbench.core.durations import Seconds
from agentbench.core.errors import UserError, unknown_name
from agentbench.core.protocols import ChecksCases, Dataset, KnowsPlaces, Scorer, User, UsesRoot
from agentbench.references import beside
from agentbench.suite import registry
from agentbench.suite.check import check_case, check_components, check_offered, check_tools
from agentbench.suite.config import (
    Component,
    GateOptions,
    RunConfig,
    RunOptions,
    Serving,
    apply_overrides,
    as_mapping,
    canonical_list_hash,
)
from agentbench.suite.former_defaults import stated
from agentbench.suite.validation import Location, validate
from agentbench.suite.yaml_file import Document, read_yaml

SUITE_FILE = "suite.yaml"
NAME = re.compile(r"[^\W_](?:[\w .+,-]*[\w.+,-])?")
LONGEST_NAME = 120
"""Bytes; with its suffixes, the name fits into the 255 bytes of a file name."""

ALL = "all"
"""The value of `passed_by` with which every scorer decides."""


class Objectives(BaseModel):
    """Service-level objectives: limits that an answer must meet to count as goodput."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ttft: Seconds | None = Field(None, gt=0, description="Time to first token of each model call.")
    tpot: Seconds | None = Field(None, gt=0, description="Time per output token of each model call.")
    latency: Seconds | None = Field(None, gt=0, description="From the start of an attempt to its end.")

    def limits(self) -> dict[str, float]:
        """The limits that are set: metric to seconds."""
        return self.model_dump(exclude_none=True)


class SuiteFile(BaseModel):
    """The keys of a suite.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str = Field("1", coerce_numbers_to_str=True)
    description: str = ""
    mode: Literal["strict", "gate"] = "strict"
    dataset: Component
    tools: tuple[str | Component, ...] = ()
    user: Component = Component(name="scripted")
    scorers: tuple[Component, ...] = Field(min_length=1)
    passed_by: str | tuple[str, ...] | None = None
    gate: GateOptions = GateOptions()
    objectives: Objectives = Objectives()
    prices: Mapping[
        str, Mapping[Literal["prompt", "cached", "completion"], Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    ] = Field(default_factory=dict, description="Model to the price of a million prompt, cached and completion tokens.")
    agent: Component
    serving: Serving = Component(name="bundled")
    backend: Component = Component(name="openai_http")
    run: RunOptions = RunOptions()

    @field_validator("name")
    @classmethod
    def _names_files(cls, value: str) -> str:
        if not NAME.fullmatch(value) or len(value.encode()) > LONGEST_NAME:
            raise ValueError(
                "runs and their files are named after it: begin with a letter or digit, then use letters, digits,"
                f" spaces and . _ + , - without a space at the end, at most {LONGEST_NAME} bytes"
            )
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A validated suite: every name in it is resolved, every option checked.

    `prices` map a model to its price of a million prompt, cached and completion tokens. `passed_by` names the scorers
    that must all pass for an attempt to pass. `written` has the tools, the user and the scorers as the file writes
    them. `config` is the suite's default configuration with the overrides applied, whose paths are `overridden`. `size`
    is the number of cases that the file selects; a suite with fewer cases is a part.
    """

    name: str
    version: str
    path: Path
    mode: Literal["strict", "gate"]
    cases: Sequence[Case]
    tools: tuple[str | Component, ...]
    user: User
    scorers: tuple[Scorer, ...]
    passed_by: tuple[str, ...]
    written: Mapping[str, Any]
    gate: GateOptions
    objectives: Mapping[str, float]
    config: RunConfig
    size: int
    overridden: tuple[str, ...] = ()
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The suite's directory, to which its relative paths refer."""
        return self.path.parent

    def content_hash(self) -> str:
        """SHA-256 of the cases: runs with the same hash had the same cases."""
        return canonical_list_hash(_content(case) for case in self.cases)

    def drawn(self) -> "Suite":
        """The suite with the cases that `run.limit` and `run.sample_seed` draw, in their original order."""
        limit = self.config.run.limit
        if limit is None or limit >= len(self.cases):
            return self
        chosen = random.Random(self.config.run.sample_seed).sample(range(len(self.cases)), limit)
        return replace(self, cases=tuple(self.cases[index] for index in sorted(chosen)))

    def only(self, case_ids: frozenset[str]) -> "Suite":
        """The suite restricted to these cases."""
        return replace(self, cases=tuple(case for case in self.cases if case.id in case_ids))


def _content(case: Case) -> dict[str, Any]:
    """A case in its hashed form; a case of one turn has the same hash as before cases had several turns."""
    names = (name for name in Case.__dataclass_fields__ if case.user or name != "user")
    return {name: getattr(case, name) for name in names} | {"tools": [asdict(tool) for tool in case.tools]}


def suite_file(reference: Path) -> Path:
    """The suite.yaml for `reference`, which is this file or its directory."""
    path = reference / SUITE_FILE if reference.is_dir() else reference
    if path.is_file():
        return path
    valid = sorted({str(found.parent) for place in _near(reference) for found in place.glob(f"*/{SUITE_FILE}")})
    if not valid:
        raise UserError(f"there is no suite at {reference}: it has to be a directory with a {SUITE_FILE}, or that file")
    raise unknown_name("suite", str(reference), valid)


def _near(reference: Path) -> tuple[Path, ...]:
    """Directories that may contain the intended suite."""
    return tuple(place for place in (reference, reference.parent, Path("suites"), Path()) if place.is_dir())


def load_suite(reference: Path, overrides: Mapping[str, Any] | None = None) -> Suite:
    """Read a suite; `UserError` names file, line and key of the first mistake."""
    document = read_yaml(suite_file(reference))
    with beside(document.path.parent):
        return _loaded(document, overrides or {})


def _loaded(document: Document, overrides: Mapping[str, Any]) -> Suite:
    where = _places(document, overrides)
    file = validate(SuiteFile, apply_overrides(document.data, overrides), where)
    config = RunConfig(agent=file.agent, serving=file.serving, backend=file.backend, run=file.run)
    check_components(config, where)
    config = stated(config)
    check_tools(file.tools, where)
    root = document.path.parent
    dataset: Dataset = registry.build("datasets", file.dataset, where=where, prefix=("dataset",))
    cases = dataset.load(root)
    if not cases:
        raise UserError(f"{where(('dataset',))}: the dataset {file.dataset.name!r} has no cases")
    user: User = registry.build("users", file.user, where=where, prefix=("user",))
    check_offered(config.agent, file.tools, cases, root, where)
    scorers = tuple(_scorer(scorer, where, index, root) for index, scorer in enumerate(file.scorers))
    deciding = _deciding(file, scorers, where)
    _check_cases(cases, file.mode, user, scorers, where(("dataset",)))
    return Suite(
        name=file.name,
        version=file.version,
        path=document.path,
        mode=file.mode,
        cases=cases,
        tools=file.tools,
        user=user,
        scorers=scorers,
        passed_by=deciding,
        written=file.model_dump(mode="json", include={"tools", "user", "scorers"}),
        gate=file.gate,
        objectives=file.objectives.limits(),
        prices={model: {str(kind): price for kind, price in price.items()} for model, price in file.prices.items()},
        config=config,
        size=_size(document.data, len(cases)),
        overridden=tuple(overrides or ()),
    )


def _size(written: Mapping[str, Any], cases: int) -> int:
    """The number of cases that the file selects; a limit from outside draws a part of these."""
    options = written.get("run")
    limit = options.get("limit") if isinstance(options, Mapping) else None
    return min(cases, limit) if isinstance(limit, int) else cases


def _check_cases(cases: Sequence[Case], mode: str, user: User, scorers: Sequence[Scorer], place: str) -> None:
    """Checks every case for the agent, the user and the scorers; `place` is the data set's place in the file."""
    checking = [scorer for scorer in scorers if isinstance(scorer, ChecksCases)]
    seen: set[str] = set()
    for index, case in enumerate(cases):
        try:
            check_case(case, mode)
            if case.id in seen:
                raise UserError(f"case id {case.id!r} is used twice")
            seen.add(case.id)
            if case.user:
                user.check(case)
            for scorer in checking:
                scorer.check(case)
        except (UserError, RecursionError) as error:
            raise UserError(f"{cases.place(index) if isinstance(cases, KnowsPlaces) else place}: {error}") from None


def reconfigured(suite: Suite, overrides: Mapping[str, Any], where: Callable[[Location], str]) -> Suite:
    """The suite with changed configuration paths; `UserError` names `where` for a bad path or value."""
    config = validate(RunConfig, apply_overrides(as_mapping(suite.config), overrides), where)
    with beside(suite.root):
        check_components(config, where)
        config = stated(config)
        check_offered(config.agent, suite.tools, suite.cases, suite.root, where)
    return replace(suite, config=config)


def _scorer(component: Component, where: Callable[[Location], str], index: int, root: Path) -> Scorer:
    """The scorer; `as` renames it, so that a suite can have two of a kind."""
    options = component.options
    label = options.pop("as", component.name)
    scorer: Scorer = registry.build(
        "scorers", Component(name=component.name, **options), where=where, prefix=("scorers", index)
    )
    scorer.name = str(label)
    if isinstance(scorer, UsesRoot):
        scorer.use_root(root)
    return scorer


def _deciding(file: SuiteFile, scorers: Sequence[Scorer], where: Callable[[Location], str]) -> tuple[str, ...]:
    """The deciding scorers: the only one, the named one, those in a list, or `all`."""
    names = [scorer.name for scorer in scorers]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{where(('scorers',))}: two scorers are named {twice!r}; give one another name with as: NAME")
    if file.passed_by is None and len(names) > 1:
        raise UserError(
            f"{where(('scorers',))}: with several scorers, passed_by says which decides: {', '.join(names)}, or all"
        )
    if file.passed_by == ALL:
        return tuple(names)
    named = (file.passed_by,) if isinstance(file.passed_by, str) else file.passed_by
    if named == ():
        raise UserError(f"{where(('passed_by',))}: passed_by is empty; name one or more of {', '.join(names)}, or all")
    for name in named or ():
        if name not in names:
            raise UserError(f"{where(('passed_by',))}: {unknown_name('scorer', name, names)}")
    return named or (names[0],)


def _places(document: Document, overrides: Mapping[str, Any]) -> Callable[[Location], str]:
    def where(location: Location) -> str:
        dotted = ".".join(str(part) for part in location)
        path_set = next((path for path in overrides if dotted == path or dotted.startswith(path + ".")), None)
        return f"--set {path_set}" if path_set else document.where(location)

    return where
