"""Latencies, throughput and goodput against values worked out by hand."""

import pytest

from agentbench.core.errors import UserError
from agentbench.stats import judge_gate
from agentbench.stats.calls import (
    completion_tokens,
    first_token_s,
    gaps_s,
    held_back_s,
    latency_s,
    tpot_s,
    ttft_from_intent_s,
    ttft_s,
)
from agentbench.stats.outcomes import meets, outcome_of, outcomes_of
from agentbench.stats.serving import summarize_serving
from agentbench.suite.config import GateOptions, Slo
from tests.stats.attempts import MS, a_call, an_attempt


def test_the_metrics_of_a_streamed_call() -> None:
    call = a_call(100, (150, 160, 190), tokens=5, intended_at=20 * MS)
    assert ttft_s(call) == pytest.approx(0.050)
    assert ttft_from_intent_s(call) == pytest.approx(0.130)
    assert latency_s(call) == pytest.approx(0.090)
    assert tpot_s(call) == pytest.approx(0.040 / 4)


def test_what_is_not_seen_is_no_first_token_that_a_reader_waits_for() -> None:
    call = a_call(0, (250, 350, 450, 550, 650), 5, chunk_tokens=(1, 1, 1, 1, 1), silent_chunks=1)
    assert (ttft_s(call), first_token_s(call), held_back_s(call)) == pytest.approx((0.350, 0.250, 0.250))
    assert tpot_s(call) == pytest.approx(0.100)
    assert gaps_s(call) == pytest.approx([0.100] * 4)
    assert latency_s(call) == pytest.approx(0.650)
    seen = a_call(0, (250, 350), 2, chunk_tokens=(1, 1))
    assert (held_back_s(seen), first_token_s(a_call(0, (250, 350), 2))) == (None, None)


def test_of_an_answer_that_shows_nothing_only_the_first_token_is_known() -> None:
    call = a_call(0, (250, 350), 2, chunk_tokens=(1, 1), silent_chunks=2)
    assert (ttft_s(call), tpot_s(call)) == (None, None)
    assert first_token_s(call) == pytest.approx(0.250)
    assert not meets(outcome_of(an_attempt("a", calls=(call,))), {"ttft": 1.0})


def test_tokens_of_the_first_chunk_are_no_part_of_the_time_per_token() -> None:
    assert tpot_s(a_call(0, (100, 200, 300), 9, chunk_tokens=(5, 2, 2))) == pytest.approx(0.200 / 4)
    assert tpot_s(a_call(0, (100, 200), 5, chunk_tokens=(5, 0))) is None


def test_counts_that_no_server_gave_are_the_least_that_there_were() -> None:
    guessed = a_call(0, (100, 200, 300), None, chunk_tokens=(1, 2, 1))
    assert tpot_s(guessed) == pytest.approx(0.200 / 3)
    assert first_token_s(guessed) is None
    summary = summarize_serving(outcomes_of([an_attempt("a", calls=(guessed, a_call(0, (100,), 6)))]))
    assert (summary.completion_tokens, summary.uncounted_completions, summary.uncounted_timed) == (10, 1, 1)


def test_a_call_without_tokens_has_no_latency() -> None:
    call = a_call(100)
    assert ttft_s(call) is None
    assert latency_s(call) is None
    assert tpot_s(call) is None


@pytest.mark.parametrize(("chunks", "tokens"), [((150,), 1), ((150, 160), None), ((150,), 40)])
def test_tpot_needs_two_tokens_at_two_times(chunks: tuple[int, ...], tokens: int | None) -> None:
    assert tpot_s(a_call(100, chunks, tokens)) is None


def test_tokens_are_counted_by_chunks_when_the_server_does_not_say() -> None:
    assert completion_tokens(a_call(0, (1, 2), chunk_tokens=(1, 4))) == 5
    assert completion_tokens(a_call(0, (1, 2))) is None


def test_attempts_of_several_processes_share_one_clock() -> None:
    first = an_attempt("a", start=0, end=2000, anchor=10_000, calls=(a_call(500, (600, 1500), 30),))
    second = an_attempt("b", start=5000, end=6000, anchor=7_000, calls=(a_call(5000, (5100, 5500), 10),))
    summary = summarize_serving(outcomes_of([first, second]))
    assert summary.wall_s == pytest.approx(3.0)
    assert summary.output_tokens_per_s == pytest.approx(40 / 2.0)
    assert summary.agent_goodput_per_s == pytest.approx(2 / 3.0)
    assert summary.completion_tokens == 40
    assert summary.prompt_tokens is None


def test_the_pause_of_a_resumed_run_is_no_part_of_its_rates() -> None:
    # Two attempts at once, then after a kill and 30 s a third: busy for 3 + 2 s.
    before = [
        an_attempt("a", start=0, end=2000, calls=(a_call(0, (100, 2000), 20),)),
        an_attempt("b", start=1000, end=3000, calls=(a_call(1000, (1100, 3000), 20),)),
    ]
    after = an_attempt("c", start=0, end=2000, anchor=33_000, calls=(a_call(500, (600, 2000), 20),))
    summary = summarize_serving(outcomes_of([after, *before]))
    assert summary.wall_s == pytest.approx(5.0)
    assert summary.agent_goodput_per_s == pytest.approx(3 / 5.0)
    assert summary.output_tokens_per_s == pytest.approx(60 / 5.0)
    gate = judge_gate(GateOptions(slo=Slo(goodput=0.5)), outcomes_of([after, *before]), summary)
    assert gate.passed


def test_percentiles_are_linear_and_leave_out_calls_that_broke() -> None:
    answered = (a_call(0, (at, at + 10), 2) for at in (10, 20, 40))
    summary = summarize_serving([outcome_of(an_attempt("a", calls=(*answered, a_call(0, (900,), error="reset"))))])
    assert summary.ttft_p50_s == pytest.approx(0.020)
    assert summary.ttft_p95_s == pytest.approx(0.038)
    assert summary.model_calls == 4


def test_goodput_counts_what_was_right_and_in_time() -> None:
    quick, slow = a_call(0, (100, 110), 2), a_call(0, (900, 910), 2)
    attempts = [
        an_attempt("a", calls=(quick, quick)),
        an_attempt("b", calls=(quick, slow)),
        an_attempt("c", False, calls=(quick,)),
        an_attempt("d", None, calls=(quick,)),
    ]
    assert summarize_serving(outcomes_of(attempts)).agent_goodput_per_s == pytest.approx(2.0)
    assert summarize_serving(outcomes_of(attempts), {"ttft": 0.5}).agent_goodput_per_s == pytest.approx(1.0)


def test_every_objective_has_to_be_met_by_every_call() -> None:
    attempt = an_attempt("a", end=800, calls=(a_call(0, (100, 200), 3), a_call(300, (350,), 1)))
    assert meets(outcome_of(attempt), {})
    assert meets(outcome_of(attempt), {"ttft": 0.1, "tpot": 0.05, "latency": 0.8})
    assert not meets(outcome_of(attempt), {"ttft": 0.09})
    assert not meets(outcome_of(attempt), {"tpot": 0.04})
    assert not meets(outcome_of(attempt), {"latency": 0.7})
    assert not meets(outcome_of(an_attempt("b", calls=(a_call(),))), {"ttft": 1.0})
    with pytest.raises(UserError, match="unknown objective 'ttf'"):
        meets(outcome_of(attempt), {"ttf": 1.0})


def test_nothing_gives_nothing() -> None:
    summary = summarize_serving([])
    assert summary.model_calls == 0
    assert summary.wall_s is None
    assert summary.agent_goodput_per_s is None
