"""Whether a run passes its gate: each thing asked of it, with the numbers it was decided by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentbench.core.durations import shown
from agentbench.stats.estimates import mean_estimate
from agentbench.stats.gate_baseline import judge_baseline
from agentbench.stats.outcomes import Outcome, agent_failures_as_wrong
from agentbench.stats.paired import PairedComparison
from agentbench.stats.repeats import pass_hat_k_of
from agentbench.stats.samples import passes
from agentbench.stats.serving import ServingSummary
from agentbench.suite.gate_options import GateOptions, Slo

ROUNDING = 1e-9
SERVING_FIELDS = {"goodput": "agent_goodput_per_s", "output_tokens_per_s": "output_tokens_per_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCheck:
    """One thing asked; `said` is a line with the numbers."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """Passed when every check did. `comparison` is run − baseline, with failures of the agent's as wrong answers."""

    passed: bool
    checks: tuple[GateCheck, ...]
    comparison: PairedComparison | None = None


def judge_gate(
    options: GateOptions,
    outcomes: Sequence[Outcome],
    serving: ServingSummary,
    baseline: Sequence[Outcome] | None = None,
    repeats: int = 1,
) -> GateVerdict:
    """The gate's verdict on a run.

    An attempt that its agent broke off (agent, timeout, budget) counts as not right: a change that makes the agent
    crash must not pass for that. What the server, a tool or a scorer broke counts for neither side, and fails the
    gate when it is more than `max_failed_share` of the attempts. `baseline` is the outcomes of the run that
    `options.baseline` names; it is not compared when None. `repeats` are those that the run was asked for.
    """
    counted = agent_failures_as_wrong(outcomes)
    checks = [
        _verdicts(options, counted),
        *_pass_rate(options, counted),
        *_every_time(options, outcomes, counted, repeats),
        *_slo(options.slo, serving),
    ]
    comparison = None
    if baseline is not None:
        found = judge_baseline(options, counted, agent_failures_as_wrong(baseline))
        comparison = found.comparison
        checks.append(GateCheck(name="baseline", passed=found.passed, said=found.said))
    return GateVerdict(passed=all(check.passed for check in checks), checks=tuple(checks), comparison=comparison)


def _verdicts(options: GateOptions, outcomes: Sequence[Outcome]) -> GateCheck:
    """Whether enough attempts have a verdict for the others to be left out."""
    if not outcomes:
        return GateCheck(name="failures", passed=False, said="no attempt was made")
    failed = sum(outcome.failure is not None for outcome in outcomes)
    waiting = sum(outcome.passed is None for outcome in outcomes) - failed
    share = (failed + waiting) / len(outcomes)
    said = f"{failed} of {len(outcomes)} attempts failed without the agent's doing"
    waits = f", {waiting} wait for review" if waiting else ""
    bound = f"({100 * share:.1f} %; at most {100 * options.max_failed_share:g} % may)"
    return GateCheck(name="failures", passed=share <= options.max_failed_share, said=f"{said}{waits} {bound}")


def _pass_rate(options: GateOptions, outcomes: Sequence[Outcome]) -> Iterator[GateCheck]:
    least = options.min_pass_rate
    if least is None:
        return
    estimate = mean_estimate(passes(outcomes))
    if estimate is None:
        yield GateCheck(name="min_pass_rate", passed=False, said="no attempt was graded: there is no pass rate")
        return
    passed = estimate.value >= least - ROUNDING
    spread = (
        f" (no interval: {estimate.clusters} clusters are worth {estimate.effective_clusters:.1f} of equal size)"
        if estimate.low is None or estimate.high is None
        else f" (95 % {100 * estimate.low:.1f} to {100 * estimate.high:.1f} %)"
    )  # fmt: skip
    relation = "is at least" if passed else "is below"
    said = f"pass rate {100 * estimate.value:.1f} %{spread} over {estimate.cases} cases {relation} {100 * least:g} %"
    yield GateCheck(name="min_pass_rate", passed=passed, said=said)


def _every_time(
    options: GateOptions, outcomes: Sequence[Outcome], counted: Sequence[Outcome], k: int
) -> Iterator[GateCheck]:
    """pass^k of the k that was asked, the agent's failures as wrong answers; what it is without them is said."""
    least = options.min_pass_hat_k
    if least is None:
        return
    whole, without = (pass_hat_k_of(passes(each), k) for each in (counted, outcomes))
    if whole is None:
        yield GateCheck(name="min_pass_hat_k", passed=False, said=f"no case has {k} verdicts: there is no pass^{k}")
        return
    passed = whole.value >= least - ROUNDING
    left_out = f"{100 * without.value:.1f} % over {without.cases}" if without else "unknown"
    reading = "" if without == whole else f", the agent's failures as wrong (without them {left_out})"
    relation = "is at least" if passed else "is below"
    said = f"pass^{k} {100 * whole.value:.1f} % over {whole.cases} cases{reading} {relation} {100 * least:g} %"
    yield GateCheck(name="min_pass_hat_k", passed=passed, said=said)


def _slo(slo: Slo, serving: ServingSummary) -> Iterator[GateCheck]:
    for name, bound in slo.model_dump(exclude_none=True).items():
        is_rate = name in SERVING_FIELDS
        value: float | None = getattr(serving, SERVING_FIELDS.get(name, f"{name}_s"))
        form = (lambda number: f"{number:.3g}/s") if is_rate else shown
        unknown = serving.uncounted_timed if name == "output_tokens_per_s" else 0
        if value is None:
            yield GateCheck(name=name, passed=False, said=f"{name}: no call of this run defines it")
            continue
        passed = value >= bound * (1 - ROUNDING) if is_rate else value <= bound * (1 + ROUNDING)
        relation = ("is at least" if passed else "is below") if is_rate else ("is within" if passed else "is over")
        least = "≥ " if unknown else ""
        rest = f" ({unknown} calls have no count of their tokens)" if unknown else ""
        yield GateCheck(name=name, passed=passed, said=f"{name} {least}{form(value)} {relation} {form(bound)}{rest}")
