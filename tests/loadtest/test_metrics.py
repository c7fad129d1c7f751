"""Figures against an example worked out by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.loadtest.metrics import (
    as_attempt,
    end_to_end,
    found_outstanding,
    mean_outstanding,
    most_outstanding,
    summarize,
    window_s,
)
from agentbench.loadtest.record import Record, record_of_json
from agentbench.stats.outcomes import outcomes_of
from agentbench.stats.serving import output_throughput
from tests.loadtest.records import record

EXAMPLE = (
    record(0, warmup=True, sent=-50, chunks=(-40,)),
    # TTFT 100, latency 140, TPOT 20, gaps 10 and 30
    record(1, sent=0, chunks=(100, 110, 140)),
    # wanted 40 earlier than sent: TTFT 200, from intent 240; a chunk of two tokens
    record(2, sent=100, intended=60, chunks=(300, 340), chunk_tokens=(1, 2), completion_tokens=3, cached_tokens=5),
    record(3, sent=150, chunks=(), error="HTTP 500", completion_tokens=0, status=500, ended=160),
    record(4, sent=200, chunks=(), error="interrupted"),
)


def test_the_example() -> None:
    found = summarize([EXAMPLE], {"ttft": 0.15})
    assert (found["requests"], found["answered"], found["errors"]) == (3, 2, 1)
    assert (found["warmup_requests"], found["interrupted"]) == (1, 1)
    assert found["errors_by_kind"] == {"HTTP 500": 1}
    assert found["ttft_p50_s"] == pytest.approx(0.150)
    assert found["ttft_p99_s"] == pytest.approx(0.199)
    assert found["ttft_from_intent_p50_s"] == pytest.approx(0.170)
    assert found["tpot_p50_s"] == pytest.approx(0.020)
    assert found["itl_p50_s"] == pytest.approx(0.030)
    assert found["latency_p90_s"] == pytest.approx(0.140 + 0.9 * 0.100)
    # from the first send (0) to the last token (340 ms)
    assert found["window_s"] == pytest.approx(0.340)
    assert found["output_tokens_per_s"] == pytest.approx(6 / 0.340)
    assert found["total_tokens_per_s"] == pytest.approx(26 / 0.340)
    assert found["requests_per_s"] == pytest.approx(2 / 0.340)
    assert (found["within_objectives"], found["goodput_per_s"]) == (1, pytest.approx(1 / 0.340))
    assert found["prefix_hit_share"] == pytest.approx(5 / 20)
    assert found["send_lag_p99_s"] == pytest.approx(0.0396)


def test_what_a_server_without_usage_does_not_say_is_unknown() -> None:
    asked: dict[str, Any] = {"asked_prompt_tokens": 10, "asked_output_tokens": 3}
    silent = record(1, prompt_tokens=None, cached_tokens=None, tokens_assumed=True, **asked)
    found = summarize([[silent]], {})
    assert (found["prompt_tokens"], found["total_tokens_per_s"], found["prefix_hit_share"]) == (None, None, None)
    assert (found["prompt_tokens_as_asked"], found["output_tokens_as_asked"]) == (None, None)
    both = summarize([[silent, record(2, **asked)]], {})
    assert (both["prompt_tokens"], both["total_tokens_per_s"]) == (None, None)
    assert (both["prompt_tokens_as_asked"], both["output_tokens_as_asked"]) == (1.0, 1.0)


def test_an_answer_without_a_count_is_no_answer_of_0_tokens() -> None:
    whole = record(1, chunks=(), prompt_tokens=None, cached_tokens=None, completion_tokens=None, tokens_assumed=True)
    found = summarize([[record(0), whole]], {})
    assert (found["completion_tokens"], found["output_tokens_per_s"], found["total_tokens_per_s"]) == (None, None, None)
    assert (found["uncounted_prompts"], found["uncounted_completions"]) == (1, 1)
    assert found["requests_per_s"] is not None


def test_outstanding() -> None:
    records = [record(0, sent=0, ended=100), record(1, sent=50, ended=150), record(2, sent=100, ended=200)]
    assert most_outstanding([records]) == most_outstanding([records, records]) == 2
    assert mean_outstanding([records]) == mean_outstanding([records, records]) == pytest.approx(1.5)
    assert found_outstanding(records) == [0, 1, 1]


def test_nothing_measured_gives_no_figures() -> None:
    found = summarize([[]], {})
    assert found["ttft_p50_s"] is None
    assert found["output_tokens_per_s"] is None
    assert found["requests"] == 0


def test_rates_of_several_rounds_leave_out_what_was_between_them() -> None:
    one = [record(0, sent=0, chunks=(50, 100))]
    two = [record(0, sent=9000, chunks=(9100, 9300))]
    assert window_s(end_to_end([one, two])) == pytest.approx(0.400)
    assert summarize([one, two], {})["output_tokens_per_s"] == pytest.approx(4 / 0.4)
    assert summarize([two, one], {})["latency_p99_s"] == pytest.approx(summarize([one, two], {})["latency_p99_s"])


@st.composite
def stretches(draw: st.DrawFn) -> list[Record]:
    found = []
    for index in range(draw(st.integers(1, 12))):
        sent = draw(st.integers(0, 1000))
        gaps = draw(st.lists(st.integers(1, 100), min_size=1, max_size=6))
        chunks = tuple(float(sent + sum(gaps[: end + 1])) for end in range(len(gaps)))
        found.append(record(index, sent=sent, chunks=chunks))
    return found


@given(stretches())
def test_throughput_is_the_one_that_runs_have(records: list[Record]) -> None:
    found = summarize([records], {})
    assert found["output_tokens_per_s"] == pytest.approx(output_throughput(outcomes_of(map(as_attempt, records))))
    assert found["output_tokens_per_s"] == pytest.approx(found["completion_tokens"] / found["window_s"])
    assert 0 < found["mean_outstanding"] <= found["most_outstanding"] <= len(records)


def test_a_record_survives_json() -> None:
    assert record_of_json(EXAMPLE[2].to_json()) == EXAMPLE[2]
