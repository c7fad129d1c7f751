"""The gate: every check by hand, what counts as wrong, and what can't be judged."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.core.errors import FailureKind
from agentbench.core.trace import Failure
from agentbench.stats import GateVerdict, Outcome, judge_gate, summarize_serving
from agentbench.stats.outcomes import outcome_of
from agentbench.suite.config import GateOptions, Slo
from tests.stats.attempts import a_call, an_attempt, an_outcome, verdicts

NOTHING = summarize_serving([])


def judge(run: list[Outcome], baseline: list[Outcome] | None = None, options: GateOptions | None = None) -> GateVerdict:
    return judge_gate(options or GateOptions(baseline=None if baseline is None else "main"), run, NOTHING, baseline)


def said(verdict: GateVerdict, name: str) -> str:
    return next(check.said for check in verdict.checks if check.name == name)


def failed(verdict: GateVerdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def broken(case_id: str, kind: FailureKind) -> Outcome:
    return outcome_of(an_attempt(case_id, failure=Failure(kind=kind, message="no")))


def test_a_throughput_from_which_calls_are_missing_is_the_least_it_was() -> None:
    calls = (a_call(0, (600, 610), 2), a_call(0, (600, 1000), None))
    served = summarize_serving([outcome_of(an_attempt("a", end=1000, calls=calls))])
    [said] = [
        check.said
        for check in judge_gate(GateOptions(slo=Slo(output_tokens_per_s=1.0)), [], served).checks
        if check.name == "output_tokens_per_s"
    ]
    assert said == "output_tokens_per_s ≥ 2/s is at least 1/s (1 calls have no count of their tokens)"


def test_a_gate_asks_only_what_is_set() -> None:
    verdict = judge(verdicts("0000"))
    assert verdict.passed
    assert verdict.comparison is None
    assert [check.name for check in verdict.checks] == ["failures"]


@pytest.mark.parametrize(("least", "passes"), [(0.7, True), (0.71, False)])
def test_the_pass_rate_is_held_against_its_limit(least: float, passes: bool) -> None:
    verdict = judge(verdicts("1111111000"), options=GateOptions(min_pass_rate=least))
    assert verdict.passed is passes
    assert said(verdict, "min_pass_rate").startswith("pass rate 70.0 % (95 % 39.7 to 89.2 %) over 10 cases is ")
    assert not judge([], options=GateOptions(min_pass_rate=least)).passed


def test_cases_right_every_time_are_held_against_their_limit_in_the_k_that_was_asked() -> None:
    # 40 cases × 4: in ten of them the agent crashes once, 11 of the others are right every time.
    run = [an_outcome(f"c{i:02}", i < 11 or repeat < 3, repeat=repeat) for i in range(40) for repeat in range(4)]
    crashed = [
        replace(broken(each.case_id, "agent"), repeat=3) if each.case_id >= "c30" and each.repeat == 3 else each
        for each in run
    ]
    verdict = judge_gate(GateOptions(min_pass_hat_k=0.3), crashed, NOTHING, repeats=4)
    assert failed(verdict) == ["min_pass_hat_k"]
    assert said(verdict, "min_pass_hat_k") == (
        "pass^4 27.5 % over 40 cases, the agent's failures as wrong (without them 36.7 % over 30) is below 30 %"
    )
    assert judge_gate(GateOptions(min_pass_hat_k=0.275), crashed, NOTHING, repeats=4).passed
    never = judge_gate(GateOptions(min_pass_hat_k=0.1), run, NOTHING, repeats=5)
    assert said(never, "min_pass_hat_k") == "no case has 5 verdicts: there is no pass^5"


def test_serving_figures_are_held_against_theirs() -> None:
    served = summarize_serving([outcome_of(an_attempt("a", end=1000, calls=(a_call(0, (600, 610), 2),)))])
    slo = Slo(ttft_p95=0.5, tpot_p50=0.02, goodput=2.0, output_tokens_per_s=1.0)
    verdict = judge_gate(GateOptions(slo=slo), verdicts("1"), served, None)
    assert failed(verdict) == ["ttft_p95", "goodput"]
    assert said(verdict, "ttft_p95") == "ttft_p95 600 ms is over 500 ms"
    assert said(verdict, "goodput") == "goodput 1/s is below 2/s"
    assert "within 20 ms" in said(verdict, "tpot_p50")
    unmeasured = judge_gate(GateOptions(slo=slo), verdicts("1"), NOTHING, None)
    assert set(failed(unmeasured)) == {"ttft_p95", "tpot_p50", "goodput", "output_tokens_per_s"}


def test_a_regression_fails_and_an_equal_run_does_not() -> None:
    baseline = verdicts("1" * 30 + "0" * 10)
    worse = judge(verdicts("1" * 20 + "0" * 20), baseline)
    assert failed(worse) == ["baseline"]
    expected = "worse than baseline main (one-sided p = 0.00098, α = 0.05): −25.0 points (95 % −"
    assert said(worse, "baseline").startswith(expected)
    assert judge(baseline, baseline).passed
    better = judge(verdicts("1" * 40), baseline)
    assert better.passed
    assert better.comparison is not None
    assert better.comparison.difference == pytest.approx(0.25)


def test_non_inferiority_asks_for_proof() -> None:
    options = GateOptions(baseline="main", test="non_inferiority", margin=0.05)
    few, many = verdicts("1" * 15 + "0" * 5), verdicts("1" * 150 + "0" * 50)
    unproven = judge(few, few, options)
    assert failed(unproven) == ["baseline"]
    assert said(unproven, "baseline").startswith("not shown to be less than 5 points worse than baseline main")
    assert judge(many, many, options).passed


@pytest.mark.parametrize("kind", ["agent", "budget", "timeout"])
def test_an_agent_that_breaks_does_not_escape_the_gate(kind: FailureKind) -> None:
    baseline = verdicts("1" * 40)
    run = [broken(outcome.case_id, kind) if i % 2 else outcome for i, outcome in enumerate(baseline)]
    verdict = judge(run, baseline, GateOptions(baseline="main", min_pass_rate=0.6))
    assert failed(verdict) == ["min_pass_rate", "baseline"]


@pytest.mark.parametrize("kind", ["infra", "tool", "grader"])
def test_what_the_agent_did_not_break_is_left_out_but_not_without_limit(kind: FailureKind) -> None:
    baseline = verdicts("1" * 40)
    one = [broken(outcome.case_id, kind) if i == 7 else outcome for i, outcome in enumerate(baseline)]
    verdict = judge(one, baseline)
    assert verdict.passed
    assert verdict.comparison is not None
    assert (verdict.comparison.cases, verdict.comparison.excluded) == (39, 1)
    many = [broken(outcome.case_id, kind) if i < 3 else outcome for i, outcome in enumerate(baseline)]
    assert failed(judge(many, baseline)) == ["failures"]
    assert said(judge(many, baseline), "failures") == (
        "3 of 40 attempts failed through no fault of the agent (7.5 %; at most 5 % may)"
    )


def test_a_verdict_still_to_come_is_none() -> None:
    pending = [replace(outcome, passed=None) for outcome in verdicts("1111")]
    assert failed(judge(pending)) == ["failures"]
    assert "4 wait for review" in said(judge(pending), "failures")
    assert failed(judge([])) == ["failures"]


def test_a_baseline_that_has_nothing_to_compare_fails_and_says_so() -> None:
    others = [replace(outcome, case_id=f"other-{outcome.case_id}") for outcome in verdicts("1111")]
    verdict = judge(verdicts("1111"), others)
    assert failed(verdict) == ["baseline"]
    assert "no case has a verdict both in this run and in baseline main" in said(verdict, "baseline")
    missing = judge_gate(GateOptions(baseline="main"), verdicts("1"), NOTHING, [])
    assert said(missing, "baseline") == "baseline main has no attempts to compare with"


def test_a_gate_that_can_never_fail_says_so() -> None:
    verdict = judge(verdicts("0000"), verdicts("1111"))
    assert verdict.passed
    assert said(verdict, "baseline").endswith("it can never fail: 4 paired cases, at least 5 are needed")
    clustered = judge(verdicts("0" * 40, 10), verdicts("1" * 40, 10))
    assert "40 paired cases in 4 clusters, at least 5 are needed" in said(clustered, "baseline")
    assert failed(judge(verdicts("00000"), verdicts("11111"))) == ["baseline"]


@given(st.lists(st.tuples(st.sampled_from("01f"), st.sampled_from("01f")), min_size=1, max_size=25), st.integers(1, 3))
def test_a_gate_never_fails_a_run_that_is_not_worse(pairs: list[tuple[str, str]], size: int) -> None:
    run = verdicts("".join(pair[0] for pair in pairs), size)
    baseline = verdicts("".join(pair[1] for pair in pairs), size)
    verdict = judge(run, baseline, GateOptions(baseline="main", max_failed_share=1.0))
    found = verdict.comparison
    if found is not None and found.difference is not None and found.difference >= 0:
        assert "baseline" not in failed(verdict)
