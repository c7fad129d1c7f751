"""Whether a run passes its suite's gate: its pass rate, its failures, its serving figures and its baseline."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from agentbench.gate import GateOptions, Slo
from agentbench.stats.estimates import mean_estimate
from agentbench.stats.gate_baseline import BaselineCheck, judge_baseline
from agentbench.stats.outcomes import Outcome, agent_failures_as_wrong
from agentbench.stats.paired import PairedComparison
from agentbench.stats.samples import passes
from agentbench.stats.serving import ServingSummary

RATES = {"goodput": "agent_goodput_per_s", "output_tokens_per_s": "output_tokens_per_s"}
"""Limits from below, and the figure each is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCheck:
    """One thing that was asked of the run; `said` is one line with the numbers."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """`comparison` is of the run (a) with its baseline (b), None without one."""

    passed: bool
    checks: tuple[GateCheck, ...]
    comparison: PairedComparison | None


def judge_gate(
    options: GateOptions,
    outcomes: Sequence[Outcome],
    serving: ServingSummary,
    baseline: Sequence[Outcome] | None,
) -> GateVerdict:
    """Every check the options ask for; the gate passes when all of them do.

    An attempt whose agent raised, ran out of a limit or of time counts as wrong, on both sides; one that the server, a
    tool or a scorer broke is left out of both sides and counts towards `max_failed_share`.
    """
    judged = agent_failures_as_wrong(outcomes)
    compared = _compare(options, judged, baseline)
    checks = (
        _graded(options, outcomes),
        *_pass_rate(options, judged),
        *([GateCheck(name="baseline", passed=compared.passed, said=compared.said)] if compared else []),
        *_limits(options.slo, serving),
    )
    return GateVerdict(
        passed=all(check.passed for check in checks),
        checks=checks,
        comparison=compared.comparison if compared else None,
    )


def _compare(
    options: GateOptions, judged: Sequence[Outcome], baseline: Sequence[Outcome] | None
) -> BaselineCheck | None:
    if options.baseline is None and baseline is None:
        return None
    return judge_baseline(options, judged, agent_failures_as_wrong(baseline or ()))


def _graded(options: GateOptions, outcomes: Sequence[Outcome]) -> GateCheck:
    """Whether enough attempts have a verdict for the others to be left out."""
    judged = agent_failures_as_wrong(outcomes)
    lost = [outcome for outcome in judged if outcome.passed is None]
    own = sum(outcome.failure is not None for outcome in outcomes) - sum(x.failure is not None for x in judged)
    share = len(lost) / len(outcomes) if outcomes else 1.0
    passed = share <= options.max_failed_share and len(lost) < len(outcomes)
    said = (
        f"{len(lost)} of {len(outcomes)} attempts have no verdict ({100 * share:.1f} %),"
        f" {'not more' if passed else 'more'} than {100 * options.max_failed_share:.1f} %"
        if outcomes
        else "no attempt has ended"
    )
    counted = f"; {own} that the agent broke or did not end count as wrong" if own else ""
    return GateCheck(name="graded", passed=passed, said=said + counted)


def _pass_rate(options: GateOptions, judged: Sequence[Outcome]) -> Iterator[GateCheck]:
    least = options.min_pass_rate
    if least is None:
        return
    estimate = mean_estimate(passes(judged))
    if estimate is None:
        yield GateCheck(name="pass_rate", passed=False, said="no attempt was graded: there is no pass rate")
        return
    passed = estimate.value >= least - 1e-9
    spread = (
        "" if estimate.low is None or estimate.high is None
        else f" (95 % {100 * estimate.low:.1f} to {100 * estimate.high:.1f} %)"
    )  # fmt: skip
    side = "at least" if passed else "below"
    yield GateCheck(
        name="pass_rate",
        passed=passed,
        said=f"pass rate {100 * estimate.value:.1f} %{spread} is {side} {100 * least:.1f} %",
    )


def _limits(slo: Slo, serving: ServingSummary) -> Iterator[GateCheck]:
    figures = asdict(serving)
    for name, limit in slo.model_dump(exclude_none=True).items():
        if name in RATES:
            yield _check_rate(name, figures[RATES[name]], limit)
        else:
            yield _check_time(name, figures[f"{name}_s"], limit)


def _check_time(name: str, value: float | None, limit: float) -> GateCheck:
    if value is None:
        return GateCheck(name=name, passed=False, said=f"{name} was not measured: no model call defines it")
    passed = value <= limit
    side = "within" if passed else "over"
    return GateCheck(name=name, passed=passed, said=f"{name} {1000 * value:.4g} ms is {side} {1000 * limit:.4g} ms")


def _check_rate(name: str, value: float | None, limit: float) -> GateCheck:
    if value is None:
        return GateCheck(name=name, passed=False, said=f"{name} was not measured")
    passed = value >= limit
    side = "at least" if passed else "below"
    return GateCheck(name=name, passed=passed, said=f"{name} {value:.4g}/s is {side} {limit:.4g}/s")
