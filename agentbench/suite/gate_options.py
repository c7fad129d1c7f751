"""The `gate` section of a suite.yaml: what a run must hold to pass."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentbench.core.durations import Seconds

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
