"""Decides whether a run passes its gate; each check has its numbers.

Compared with its baseline, a run is not shown to be worse, or is shown to be not worse than a margin.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentbench.core.durations import shown
from agentbench.stats.comparison import PairedComparison, compare_passes
from agentbench.stats.estimates import mean_estimate, pass_hat_k_of
from agentbench.stats.hypothesis_tests import LEAST, attainable
from agentbench.stats.intervals import LEAST_CLUSTERS
from agentbench.stats.outcomes import Outcome, agent_failures_as_wrong
from agentbench.stats.samples import passes
from agentbench.stats.serving import ServingSummary
from agentbench.suite.config import GateOptions, Slo

ROUNDING = 1e-9
SERVING_FIELDS = {"goodput": "agent_goodput_per_s", "output_tokens_per_s": "output_tokens_per_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCheck:
    """One condition; `said` is a line with its numbers."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """The gate passes when every check does. `comparison` is run − baseline, with the agent's failures as wrong
    answers.
    """

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

    An attempt that failed because of its agent (agent, timeout, budget) counts as not right, so that a change that
    crashes the agent can't pass. Failures of the server, a tool or a scorer are left out on both sides; the gate fails
    when their share exceeds `max_failed_share`. `baseline` has the outcomes of the run that `options.baseline` names;
    None skips the comparison. `repeats` is the number of planned repeats.
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
    """Checks that enough attempts have a verdict for the others to be left out."""
    if not outcomes:
        return GateCheck(name="failures", passed=False, said="no attempt was made")
    failed = sum(outcome.failure is not None for outcome in outcomes)
    waiting = sum(outcome.passed is None for outcome in outcomes) - failed
    share = (failed + waiting) / len(outcomes)
    text = f"{failed} of {len(outcomes)} attempts failed through no fault of the agent"
    waits = f", {waiting} wait for review" if waiting else ""
    bound = f"({100 * share:.1f} %; at most {100 * options.max_failed_share:g} % may)"
    return GateCheck(name="failures", passed=share <= options.max_failed_share, said=f"{text}{waits} {bound}")


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
    text = f"pass rate {100 * estimate.value:.1f} %{spread} over {estimate.cases} cases {relation} {100 * least:g} %"
    yield GateCheck(name="min_pass_rate", passed=passed, said=text)


def _every_time(
    options: GateOptions, outcomes: Sequence[Outcome], counted: Sequence[Outcome], k: int
) -> Iterator[GateCheck]:
    """pass^k for the planned k, with the agent's failures as wrong answers; the line also gives it without them."""
    least = options.min_pass_hat_k
    if least is None:
        return
    strict, without = (pass_hat_k_of(passes(each), k) for each in (counted, outcomes))
    if strict is None:
        yield GateCheck(name="min_pass_hat_k", passed=False, said=f"no case has {k} verdicts: there is no pass^{k}")
        return
    passed = strict.value >= least - ROUNDING
    left_out = f"{100 * without.value:.1f} % over {without.cases}" if without else "unknown"
    reading = "" if without == strict else f", the agent's failures as wrong (without them {left_out})"
    relation = "is at least" if passed else "is below"
    text = f"pass^{k} {100 * strict.value:.1f} % over {strict.cases} cases{reading} {relation} {100 * least:g} %"
    yield GateCheck(name="min_pass_hat_k", passed=passed, said=text)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineCheck:
    """`comparison` is None when no cases could be compared."""

    passed: bool
    said: str
    comparison: PairedComparison | None = None


def judge_baseline(options: GateOptions, run: Sequence[Outcome], baseline: Sequence[Outcome]) -> BaselineCheck:
    """`regression` fails when the exact one-sided test finds the run worse at `alpha`. `non_inferiority` fails unless
    the interval at 1 − 2·`alpha` lies above −`margin`. Both fail when there is no case to compare.
    """
    name = f"baseline {options.baseline}" if options.baseline else "the baseline"
    if not baseline:
        return BaselineCheck(passed=False, said=f"{name} has no attempts to compare with")
    found = compare_passes(run, baseline)
    if found.difference is None or found.power is None:
        return BaselineCheck(
            passed=False, said=f"no case has a verdict both in this run and in {name}: nothing to compare"
        )
    judge = _regression if options.test == "regression" else _non_inferiority
    passed, text = judge(options, name, found)
    return BaselineCheck(passed=passed, said=text, comparison=found)


def _regression(options: GateOptions, name: str, found: PairedComparison) -> tuple[bool, str]:
    assert found.p_worse is not None
    assert found.power is not None
    passed = found.p_worse >= options.alpha
    relation = "≤" if found.p_worse <= LEAST else "="
    shown = f"one-sided p {relation} {found.p_worse:.2g}, α = {options.alpha:g}"
    text = f"{'not shown worse' if passed else 'worse'} than {name} ({shown}): {_numbers(found)}"
    if not attainable(found.clusters, options.alpha):
        needed = math.floor(math.log2(1 / options.alpha)) + 1
        return passed, f"{text}; it can never fail: {_units(found)}, at least {needed} are needed"
    least = found.power.smallest(options.alpha)
    if least is None:
        return passed, f"{text}; too few cases to find any drop with power 0.8"
    return passed, f"{text}; it finds a drop of {100 * least:.1f} points with power 0.8"


def _non_inferiority(options: GateOptions, name: str, found: PairedComparison) -> tuple[bool, str]:
    assert found.power is not None
    low = found.power.found.lower_bound(options.alpha)
    passed = low is not None and low > -options.margin
    bound = _too_few(found) if low is None else f" (at least {_points(low)} at α = {options.alpha:g})"
    margin = f"less than {100 * options.margin:g} points worse than {name}"
    power = found.power.within(options.margin, options.alpha)
    text = f"{'shown' if passed else 'not shown'} to be {margin}{bound}: {_numbers(found)}"
    return passed, f"{text}; an unchanged run passes with power {power:.2f}"


def _too_few(found: PairedComparison) -> str:
    worth = f"worth {found.effective_clusters:.1f} of equal size; no bound is given below {LEAST_CLUSTERS}"
    return f" ({_units(found)}, {worth})"


def _numbers(found: PairedComparison) -> str:
    assert found.difference is not None
    spread = (
        "" if found.low is None or found.high is None
        else f" (95 % {_points(found.low)} to {_points(found.high)})"
    )  # fmt: skip
    shared = f", {found.unpaired} in one of them only" if found.unpaired else ""
    more = f", without {found.unmatched} repeats that only one of them has" if found.unmatched else ""
    return f"{_points(found.difference)} points{spread} over {found.cases} cases{shared}{more}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")


def _units(found: PairedComparison) -> str:
    return f"{found.cases} paired cases" + (f" in {found.clusters} clusters" if found.clusters < found.cases else "")
