"""A study.yaml: which suite, what may change, what is wanted of it, and what finding out may cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.config import SECTIONS, apply_overrides
from agentbench.document import read_yaml
from agentbench.duration import seconds
from agentbench.errors import UserError
from agentbench.validation import Location, validate
from tuners.budget import BudgetOptions
from tuners.parameter import AnyParameter, Condition
from tuners.samplers import SamplerName
from tuners.space import Space
from tuners.split import SplitOptions

Metric = Literal[
    "quality", "goodput", "output_tokens_per_s", "ttft_p50", "ttft_p95", "tpot_p50", "latency_p95", "tokens", "cost"
]


class RungOptions(BaseModel):
    """How a candidate climbs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: tuple[int, ...] = Field((8, 16, 32, 64), description="Cases answered after each rung; then all of train.")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Chance of dropping a candidate that is not worse.")
    finalists: int = Field(2, ge=1, description="Best candidates that answer all of train again with fresh seeds.")


class StudyFile(BaseModel):
    """What a study.yaml may say. `baseline` and the space's paths are as for `--set`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    suite: Path = Field(Path(), description="The suite's directory, from the study's own.")
    baseline: Mapping[str, Any] = Field(default_factory=dict)
    split: SplitOptions = SplitOptions()
    objectives: tuple[Metric, ...] = Field(("quality",), min_length=1)
    constraints: Mapping[Metric, float | str] = Field(default_factory=dict)
    budget: BudgetOptions
    space: Mapping[str, AnyParameter] = Field(min_length=1)
    forbidden: tuple[Condition, ...] = ()
    search: Literal["factorized", "flat"] = "factorized"
    sampler: SamplerName = "tpe"
    rungs: RungOptions = RungOptions()
    prices: Mapping[str, Mapping[Literal["prompt", "completion"], float]] = Field(
        default_factory=dict, description="Model to the price of a million prompt and completion tokens."
    )
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _has_an_end(self) -> "StudyFile":
        if self.budget == BudgetOptions():
            raise ValueError("budget: set at least one of trials, case_runs and seconds")
        return self

    def bounds(self) -> dict[str, float]:
        """The constraints' bounds in seconds and per second."""
        return {metric: seconds(bound) for metric, bound in self.constraints.items()}

    def parameters(self) -> Space:
        return Space(parameters=self.space, forbidden=self.forbidden)


def read_study(path: Path, overrides: Mapping[str, Any] | None = None) -> StudyFile:
    """The study, with `--set` applied; `UserError` names file, line and key of whatever is wrong in it."""
    document = read_yaml(path)

    def where(location: Location) -> str:
        return document.where(location)

    study = validate(StudyFile, apply_overrides(document.data, overrides or {}), where)
    for key, paths in (("space", study.space), ("baseline", study.baseline)):
        for dotted in paths:
            if dotted.split(".")[0] not in SECTIONS:
                raise UserError(
                    f"{where((key, dotted))}: {key}.{dotted}: expected a path under {', '.join(SECTIONS)},"
                    " for example agent.output or serving.quantization"
                )
    return study
