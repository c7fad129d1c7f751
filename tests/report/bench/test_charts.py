"""The roofline: where a server's work lies, and which side of the ridge."""

from typing import Any

import pytest

from agentbench.report.bench.charts import _work, roofline

CARD = {"num_parameters": 1e8, "weight_bytes_per_step": 1e8, "kv_bytes_per_token": 1e4}


def a_document(**changes: Any) -> dict[str, Any]:
    """One client: 100 tokens a second in steps of 10 ms, prompts of 200 tokens in 0.5 s; a ridge at 10 FLOP/byte."""
    figures = {
        "step_s": 0.01,
        "output_tokens_per_s": 100.0,
        "live_kv_bytes": 1e8,
        "ttft_p50_s": 0.5,
        "answered": 10,
        "prompt_tokens": 2200,
        "cached_tokens": 200,
    }
    point = {"load": {"label": "c=1", "concurrency": 1}, "sides": {"a": {"figures": figures}}}
    side = {"name": "a", "card": {"architecture": CARD}}
    peak = {"bytes_per_s": 2e10, "flop_per_s": 2e11}
    return {"sides": [side], "points": [point], "peak": peak, **changes}


def test_decode_and_prefill_are_where_their_definition_puts_them() -> None:
    decode, prefill = _work(a_document())
    assert decode.kind == "decode"
    assert decode.intensity == pytest.approx(1.0)
    assert decode.flop_per_s == pytest.approx(2e10)
    assert (prefill.kind, prefill.label) == ("prefill", "200 tokens")
    assert prefill.intensity == pytest.approx(2e8 * 200 / (1e8 + 200 * 1e4))
    assert prefill.flop_per_s == pytest.approx(2e8 * 200 / 0.5)


def test_it_says_what_bounds_them() -> None:
    page = roofline(a_document())
    assert "decode (c=1): 1 FLOP/byte, 20 GFLOP/s: memory-bound" in page
    assert "prefill (200 tokens): 392 FLOP/byte, 80 GFLOP/s: compute-bound" in page
    assert "the ridge is at 10 FLOP/byte" in page


def test_without_a_peak_or_a_card_there_is_none() -> None:
    assert roofline(a_document(peak=None)) == ""
    assert roofline(a_document(sides=[{"name": "a", "card": None}])) == ""
