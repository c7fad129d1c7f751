"""MBU and MFU by hand, and the machine's own limits."""

from dataclasses import replace
from typing import Any

import pytest

from agentbench.loadtest.roofline import Peak, flop, live_tokens, step_s, utilization
from tests.loadtest.records import record

CARD = {
    "num_parameters": 1000,
    "weight_bytes_per_step": 2000,
    "kv_bytes_per_token": 10,
    "num_layers": 2,
    "hidden_size": 5,
}
PEAK = Peak(bytes_per_s=1e6, flop_per_s=1e6)


def test_one_stream_by_hand() -> None:
    records = [record(0, sent=0, chunks=(100, 110, 120, 130))]
    assert step_s(records) == pytest.approx(0.010)
    # 10 of the prompt and, on average, half of the four generated
    assert live_tokens(records) == pytest.approx(12)
    # tokens 1 to 14, each with its own context
    assert flop(records, CARD) == pytest.approx(2 * 1000 * 14 + 4 * 2 * 5 * sum(range(1, 15)))
    found = utilization([records], CARD, PEAK)
    assert found["mbu"] == pytest.approx((2000 + 120) / 0.010 / 1e6)
    assert found["mfu"] == pytest.approx(flop(records, CARD) / 0.130 / 1e6)


def test_streams_at_once_add_their_caches_and_prompts_from_the_cache_are_not_computed() -> None:
    both = [record(i, sent=0, chunks=(100, 110, 120, 130), cached_tokens=4) for i in range(2)]
    assert live_tokens(both) == pytest.approx(24)
    assert flop(both, CARD) == pytest.approx(2 * (2 * 1000 * 10 + 4 * 2 * 5 * sum(range(5, 15))))


def test_a_chunk_of_several_tokens_is_one_step() -> None:
    records = [record(0, chunks=(100, 130), chunk_tokens=(1, 3), completion_tokens=4)]
    assert step_s(records) == pytest.approx(0.030)


@pytest.mark.parametrize("card", [None, {}, {**CARD, "num_layers": None}])
def test_without_the_models_facts_they_are_unknown(card: dict[str, object] | None) -> None:
    found = utilization([[record()]], card, PEAK)
    assert found["mbu"] is None
    assert found["mfu"] is None
    assert utilization([[record()]], CARD, None)["mbu"] is None


@pytest.mark.parametrize("changes", [{"prompt_tokens": None}, {"completion_tokens": None}])
def test_without_the_tokens_of_every_answer_they_are_unknown(changes: dict[str, Any]) -> None:
    found = utilization([[record(0), replace(record(1), **changes)]], CARD, PEAK)
    assert (found["mbu"], found["mfu"], found["live_kv_bytes"]) == (None, None, None)
    assert found["step_s"] == pytest.approx(0.010)


def test_a_peak_that_was_given_says_so() -> None:
    assert Peak(bytes_per_s=1.0, flop_per_s=None, source="given").to_json()["source"] == "given"
