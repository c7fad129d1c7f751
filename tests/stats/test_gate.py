"""Gates: what is asked, what fails them, and how often they are wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentbench.errors import FailureKind
from agentbench.gate import GateOptions
from agentbench.stats.gate import GateVerdict, judge_gate
from agentbench.stats.outcomes import Outcome, outcomes_of
from agentbench.stats.paired import worse_p
from agentbench.stats.pairs import pair_cases
from agentbench.stats.power import gate_power, power_at
from agentbench.stats.samples import CaseSample, passes
from agentbench.stats.serving import summarize_serving
from tests.stats.attempts import a_call, an_attempt, verdicts

NO_SERVING = summarize_serving([])


def judged(run: list[Outcome], against: list[Outcome] | None = None, /, **options: Any) -> GateVerdict:
    return judge_gate(GateOptions.model_validate(options), run, NO_SERVING, against)


def check(verdict: GateVerdict, name: str) -> tuple[bool, str]:
    return next((each.passed, each.said) for each in verdict.checks if each.name == name)


def failing(outcome: Outcome, kind: FailureKind) -> Outcome:
    return replace(outcome, passed=None, failure=kind)


def test_a_pass_rate_is_held_against_its_least() -> None:
    run = verdicts("1110")
    assert judged(run, min_pass_rate=0.75).passed
    verdict = judged(run, min_pass_rate=0.8)
    assert not verdict.passed
    assert check(verdict, "min_pass_rate") == (False, "pass rate 75.0 % over 4 cases is below 80 %")


def test_a_run_without_attempts_passes_no_gate() -> None:
    assert not judged([]).passed
    assert not judged([], min_pass_rate=0.0).passed


@pytest.mark.parametrize("kind", ["agent", "timeout", "budget"])
def test_an_agent_that_breaks_off_is_not_right(kind: FailureKind) -> None:
    run = [failing(each, kind) if index < 6 else each for index, each in enumerate(verdicts("1" * 20))]
    verdict = judged(run, verdicts("1" * 20), min_pass_rate=0.9)
    assert check(verdict, "failures")[0]
    assert check(verdict, "min_pass_rate")[1].startswith("pass rate 70.0 %")
    assert not check(verdict, "baseline")[0]


@pytest.mark.parametrize("kind", ["infra", "tool", "grader"])
def test_what_the_agent_can_t_help_is_excused_up_to_a_share(kind: FailureKind) -> None:
    run = [failing(each, kind) if index < 6 else each for index, each in enumerate(verdicts("1" * 20))]
    verdict = judged(run, verdicts("1" * 20), min_pass_rate=0.9)
    assert check(verdict, "min_pass_rate")[0]
    assert check(verdict, "baseline")[0]
    passed, said = check(verdict, "failures")
    assert not passed
    assert said == "6 of 20 attempts failed without the agent's doing (30.0 %; at most 5 % may)"
    assert judged(run, max_failed_share=0.3).passed


def test_a_regression_is_found_and_told_with_its_numbers() -> None:
    baseline, run = verdicts("1" * 40), verdicts("0" * 8 + "1" * 32)
    passed, said = check(judged(run, baseline, baseline="main"), "baseline")
    assert not passed
    assert said.startswith("worse than baseline main (one-sided p = 0.0039, alpha 0.05): -20.0 points (95 % ")
    assert "over 40 cases; it finds a drop of" in said
    assert check(judged(baseline, run, baseline="main"), "baseline")[0], "better is not worse"


def test_non_inferiority_has_to_be_shown() -> None:
    few, many = verdicts("1" * 10), verdicts("1" * 400)
    options: dict[str, Any] = {"test": "non_inferiority", "margin": 0.02, "baseline": "main"}
    assert not check(judged(few, few, **options), "baseline")[0], "ten cases show nothing"
    passed, said = check(judged(many, many, **options), "baseline")
    assert passed
    assert said.startswith("shown to be at most 2 points worse than baseline main (at least -0.")


def test_a_gate_that_can_never_fail_says_so() -> None:
    assert "too few cases for this gate ever to fail" in check(judged(verdicts("111"), verdicts("111")), "baseline")[1]
    passed, said = check(judged(verdicts("1"), [replace(verdicts("1")[0], case_id="other")]), "baseline")
    assert (passed, said) == (False, "the run and the baseline have no graded case in common")


def test_service_level_objectives() -> None:
    attempts = [an_attempt(f"c{i}", calls=(a_call(0, (100 * (i + 1), 100 * (i + 1) + 20), 3),)) for i in range(5)]
    serving = summarize_serving(outcomes_of(attempts))
    slo = {"ttft_p50": "300ms", "tpot_p50": "5ms", "goodput": 2}
    verdict = judge_gate(GateOptions.model_validate({"slo": slo}), verdicts("1"), serving)
    assert check(verdict, "ttft_p50") == (True, "ttft_p50 300 ms is within 300 ms")
    assert check(verdict, "tpot_p50") == (False, "tpot_p50 10 ms is over 5 ms")
    assert check(verdict, "goodput") == (True, "goodput 5/s is at least 2/s")
    assert check(judged(verdicts("1"), slo=slo), "ttft_p50") == (False, "ttft_p50: no call of this run defines it")


def drawn(chance: np.random.Generator, rates: np.ndarray, repeats: int, size: int) -> list[CaseSample]:
    right = chance.random((repeats, len(rates))) < rates
    return [
        CaseSample(case_id=f"c{i:03}", cluster=f"k{i // size:03}", values=tuple(map(float, right[:, i])))
        for i in range(len(rates))
    ]


def fails(run: list[CaseSample], baseline: list[CaseSample], options: GateOptions) -> bool:
    def outcomes(samples: list[CaseSample]) -> list[Outcome]:
        return [
            Outcome(case_id=each.case_id, cluster=each.cluster, repeat=repeat, passed=bool(value))
            for each in samples
            for repeat, value in enumerate(each.values)
        ]

    return not judge_gate(options, outcomes(run), NO_SERVING, outcomes(baseline)).passed


@pytest.mark.parametrize(("repeats", "size"), [(1, 1), (3, 1), (2, 4)])
def test_an_unchanged_configuration_seldom_fails(repeats: int, size: int) -> None:
    chance = np.random.default_rng(11)
    failed = 0
    for _ in range(60):
        rates = chance.beta(2, 1, size=int(chance.integers(20, 80)))
        failed += fails(drawn(chance, rates, repeats, size), drawn(chance, rates, repeats, size), GateOptions())
    assert failed <= 4


def test_the_stated_power_is_the_share_that_fails() -> None:
    chance = np.random.default_rng(12)
    stated, failed = [], []
    for _ in range(120):
        rates = chance.beta(4, 2, size=150)
        pairs = pair_cases(drawn(chance, rates, 1, 1), drawn(chance, rates, 1, 1))
        stated.append(power_at(pairs, 0.12, 0.05))
        lost = pair_cases(drawn(chance, rates * (1 - 0.12 / (4 / 6)), 1, 1), drawn(chance, rates, 1, 1))
        failed.append(worse_p(np.array([x.mean - y.mean for x, y in lost]), [x.cluster for x, _ in lost]) <= 0.05)
    assert np.mean(failed) == pytest.approx(np.mean(stated), abs=0.08)


def test_the_detectable_drop_is_found_with_the_power_stated() -> None:
    chance = np.random.default_rng(13)
    rates = chance.beta(4, 2, size=200)
    pairs = pair_cases(drawn(chance, rates, 2, 1), drawn(chance, rates, 2, 1))
    found = gate_power(pairs, GateOptions()).detectable
    assert found is not None
    assert power_at(pairs, found, 0.05) >= 0.8 > power_at(pairs, found - 0.01, 0.05)
    assert power_at(pairs, 0.0, 0.05) <= 0.06
    nothing = pair_cases(passes(verdicts("0" * 30)), passes(verdicts("0" * 30)))
    assert gate_power(nothing, GateOptions()).never
