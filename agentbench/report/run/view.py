"""Every number about a run, computed from its stored attempts. Tables, pages and JSON show these numbers only."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from agentbench.core.errors import FailureKind
from agentbench.core.run import Run
from agentbench.report.run.case_outcomes import CaseCounts, CaseOutcome, verdict_of
from agentbench.stats import Estimate, ServingSummary, mean_estimate, percentile_estimate
from agentbench.stats.estimates import Repeated, repeated
from agentbench.stats.outcomes import Outcome, agent_failure_as_wrong, outcome_of
from agentbench.stats.samples import CaseIndex, CaseSamples, SampleColumn, pass_values, score_values
from agentbench.stats.serving import ServingTally, percentile
from agentbench.stats.usage import Cost, cost_of
from agentbench.store import Store


class RunTally:
    """Reads the outcomes of a run once and collects what its view needs. `verdicts` counts attempts by verdict,
    `failures` the failed ones by kind."""

    def __init__(self, outcomes: Iterable[Outcome], objectives: Mapping[str, float]) -> None:
        self.verdicts: Counter[str] = Counter()
        self.failures: Counter[FailureKind] = Counter()
        self._index = CaseIndex()
        self.cold_starts_s: list[float] = []
        self._cases = CaseCounts()
        self._passes = SampleColumn(self._index)
        self._gated = SampleColumn(self._index)
        self._ttft = SampleColumn(self._index)
        self._scores: dict[str, SampleColumn] = {}
        self._serving = ServingTally(objectives)
        for outcome in outcomes:
            self._add(outcome)

    def _add(self, outcome: Outcome) -> None:
        number = self._index.number(outcome)
        self.verdicts[verdict_of(outcome)] += 1
        if outcome.failure:
            self.failures[outcome.failure] += 1
        self._cases.add(number, outcome)
        self._passes.add(number, pass_values(outcome))
        self._gated.add(number, pass_values(agent_failure_as_wrong(outcome)))
        self._ttft.add(number, outcome.ttft_s)
        for name in outcome.scores:
            column = self._scores.setdefault(name, SampleColumn(self._index))
            column.add(number, score_values(outcome, name))
        self._serving.add(outcome)
        if outcome.cold_start_s is not None:
            self.cold_starts_s.append(outcome.cold_start_s)

    def passes(self) -> CaseSamples:
        return self._passes.samples()

    def passes_as_gated(self) -> CaseSamples:
        """The verdicts as a gate counts them: the agent's failures are wrong answers."""
        return self._gated.samples()

    def ttft(self) -> CaseSamples:
        return self._ttft.samples()

    def scores(self) -> Mapping[str, CaseSamples]:
        """The values of each scorer, in the order in which the scorers first occur."""
        return {name: column.samples() for name, column in self._scores.items()}

    def serving(self) -> ServingSummary:
        return self._serving.summary()

    def cases(self) -> tuple[CaseOutcome, ...]:
        return self._cases.outcomes(self._index)


REASONS = 3
"""Most frequent failure messages in a view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStarts:
    """The time the agent took to become ready, over the attempts that started it."""

    count: int
    p50_s: float
    max_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """All numbers about a run.

    `planned` attempts were planned; `right` + `wrong` + `failed` + `waiting` of them have ended. A `waiting` attempt
    has an answer and waits for a person's verdict.

    `accuracy` is the mean over cases, without failed attempts. `scores` has the mean of each scorer if the suite has
    several or its only one gives graded values.
    `repeated` and `repeated_as_gated` have pass@k and pass^k for k = the run's repeats, if k > 1: the first
    without failed attempts, the second with the agent's failures as wrong answers. `objectives` are the time limits
    (seconds) of goodput. `cost` is the cost of the tokens at the suite's prices, None if the suite has no price for
    the model. `reasons` are (kind, message, count) of the most frequent failures.
    """

    run: Run
    title: str
    agent: str
    model: str
    server: str
    planned: int
    right: int
    wrong: int
    failed: int
    waiting: int
    failures: Mapping[str, int]
    accuracy: Estimate | None
    scores: Mapping[str, Estimate]
    repeated: Repeated | None
    repeated_as_gated: Repeated | None
    objectives: Mapping[str, float]
    serving: ServingSummary
    cost: Cost | None
    ttft_p95: Estimate | None
    cold_starts: ColdStarts | None
    outcomes: tuple[CaseOutcome, ...]
    reasons: tuple[tuple[str, str, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """One flat object. Keys in _s are seconds, keys in _per_s are rates per second; fractions are from 0 to 1."""
        accuracy, tail = self.accuracy, self.ttft_p95
        return {
            **_identity(self.run),
            "agent": self.agent,
            "model": self.model,
            "server": self.server,
            "attempts_planned": self.planned,
            "attempts_right": self.right,
            "attempts_wrong": self.wrong,
            "attempts_failed": self.failed,
            "attempts_waiting": self.waiting,
            "failures": dict(self.failures),
            "failure_reasons": [dict(zip(("kind", "message", "count"), each, strict=True)) for each in self.reasons],
            "accuracy": accuracy and accuracy.value,
            "accuracy_low": accuracy and accuracy.low,
            "accuracy_high": accuracy and accuracy.high,
            "accuracy_standard_error": accuracy and accuracy.standard_error,
            "accuracy_method": accuracy and accuracy.method,
            "accuracy_cases": accuracy.cases if accuracy else 0,
            "accuracy_clusters": accuracy.clusters if accuracy else 0,
            "accuracy_effective_clusters": accuracy.effective_clusters if accuracy else 0.0,
            "scores": {name: asdict(estimate) for name, estimate in self.scores.items()},
            "k": self.run.repeats,
            **_repeated("", self.repeated),
            **_repeated("_as_gated", self.repeated_as_gated),
            "objectives_s": dict(self.objectives),
            **asdict(self.serving),
            "cost": self.cost and self.cost.value,
            "cost_unknown_calls": self.cost.unknown_calls if self.cost else 0,
            "cold_starts": self.cold_starts.count if self.cold_starts else 0,
            "cold_start_p50_s": self.cold_starts and self.cold_starts.p50_s,
            "cold_start_max_s": self.cold_starts and self.cold_starts.max_s,
            "ttft_p95_low_s": tail and tail.low,
            "ttft_p95_high_s": tail and tail.high,
            "cases": [outcome.to_json() for outcome in self.outcomes],
        }


def _repeated(suffix: str, found: Repeated | None) -> dict[str, Any]:
    at, hat = (found.pass_at_k, found.pass_hat_k) if found else (None, None)
    return {
        **_spread(f"pass_at_k{suffix}", at),
        **_spread(f"pass_hat_k{suffix}", hat),
        f"pass_k{suffix}_cases": hat.cases if hat else 0,
    }


def _spread(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    keys = (name, f"{name}_low", f"{name}_high")
    values = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return dict(zip(keys, values, strict=True))


def _identity(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "label": run.label,
        "suite": run.suite,
        "suite_version": run.suite_version,
        "suite_hash": run.suite_hash,
        "status": run.status,
        "created_at": run.created_at.isoformat(),
        "finished_at": run.finished_at and run.finished_at.isoformat(),
        "config": dict(run.config),
        "config_hash": run.config_hash,
        "repeats": run.repeats,
        "kind": run.kind,
        "cases_planned": len(run.case_ids),
        "suite_cases": run.suite_cases,
    }


def run_view(store: Store, run: Run) -> RunView:
    """The view of a run from the attempts that are stored so far."""
    view = view_of(run, map(outcome_of, store.measured_attempts(run.id)))
    return replace(view, reasons=tuple(store.failures(run.id, REASONS))) if view.failed else view


def view_of(run: Run, outcomes: Iterable[Outcome]) -> RunView:
    """The view of a run from the outcomes of its attempts, without failure messages."""
    objectives = dict(run.environment.get("objectives") or {})
    tally = RunTally(outcomes, objectives)
    serving = tally.serving()
    samples = tally.passes()
    return RunView(
        run=run,
        title=run.label or short_id(run.id),
        agent=_name(run.config.get("agent")),
        model=_model(run, serving),
        server=_server(run),
        planned=len(run.case_ids) * run.repeats,
        right=tally.verdicts["right"],
        wrong=tally.verdicts["wrong"],
        failed=tally.verdicts["failed"],
        waiting=tally.verdicts["waiting"],
        failures={str(kind): count for kind, count in sorted(tally.failures.items())},
        accuracy=mean_estimate(samples),
        scores=_scores(tally.scores()),
        repeated=repeated(samples, run.repeats),
        repeated_as_gated=repeated(tally.passes_as_gated(), run.repeats),
        objectives=objectives,
        serving=serving,
        cost=cost_of(serving.models, run.prices),
        ttft_p95=percentile_estimate(tally.ttft(), 95),
        cold_starts=_cold_starts(tally.cold_starts_s),
        outcomes=tally.cases(),
    )


def _cold_starts(found: Sequence[float]) -> ColdStarts | None:
    p50 = percentile(found, 50)
    return None if p50 is None else ColdStarts(count=len(found), p50_s=p50, max_s=max(found))


def _scores(samples: Mapping[str, CaseSamples]) -> dict[str, Estimate]:
    """The mean of each scorer's values. A scorer alone that gives 0 or 1 is left out: the accuracy already shows it."""
    shown = {name: values for name, values in samples.items() if len(samples) > 1 or _graded(values)}
    estimates = ((name, mean_estimate(values)) for name, values in shown.items())
    return {name: estimate for name, estimate in estimates if estimate is not None}


def _graded(samples: CaseSamples) -> bool:
    return bool(((samples.values != 0) & (samples.values != 1)).any())


def short_id(run_id: str) -> str:
    """The end of a run id. It identifies the run, and the store accepts it in place of the full id."""
    return run_id.rpartition("-")[2][:12]


def _name(component: Any, key: str = "name") -> str:
    """A component's name in a configuration: a component is a mapping with a name, or only a name."""
    return str(component.get(key) or "") if isinstance(component, Mapping) else str(component or "")


def _server(run: Run) -> str:
    """The server's name, or the backend's if the backend answers without a server."""
    backend = _name(run.config.get("backend"))
    if not run.environment.get("server") and backend not in ("", "openai_http"):
        return backend
    return _name(run.config.get("serving"), "server") or backend


def _model(run: Run, serving: ServingSummary) -> str:
    """The models that were called, most calls first; the configured model if none was called."""
    called = [each.model for each in serving.models if each.model]
    return ", ".join(called) or _name(run.config.get("serving"), "model")
