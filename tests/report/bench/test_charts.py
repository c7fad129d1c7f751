"""The roofline: a server's points and the side of the ridge they are on; and line charts."""

from typing import Any

import pytest

from agentbench.report.bench.charts import SECONDS, Axis, Series, line_chart, plain, roofline, work
from agentbench.report.html import chart_places, charts_json

CARD = {"num_parameters": 1e8, "weight_bytes_per_step": 1e8, "kv_bytes_per_token": 1e4}


def a_document(**changes: Any) -> dict[str, Any]:
    """One client: 100 tokens/s in steps of 10 ms, prompts of 200 tokens in 0.5 s; the ridge is at 10 FLOP/byte."""
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


def test_the_points_of_decode_and_prefill() -> None:
    decode, prefill = work(a_document())
    assert decode.kind == "decode"
    assert decode.intensity == pytest.approx(1.0)
    assert decode.flop_per_s == pytest.approx(2e10)
    assert (prefill.kind, prefill.label) == ("prefill", "200 tokens")
    assert prefill.intensity == pytest.approx(2e8 * 200 / (1e8 + 200 * 1e4))
    assert prefill.flop_per_s == pytest.approx(2e8 * 200 / 0.5)


def test_the_roofline_says_whether_memory_or_compute_is_the_bound() -> None:
    found = roofline(a_document())
    assert found is not None
    assert found.bounds == (
        "a, decode (c=1): 1 FLOP/byte, 20 GFLOP/s: memory-bound",
        "a, prefill (200 tokens): 392 FLOP/byte, 80 GFLOP/s: compute-bound",
    )
    assert "the ridge is at 10 FLOP/byte" in found.chart.caption
    roof, *points = found.chart.data
    assert roof["y"] == pytest.approx([10, 200, 200]), "bandwidth bounds up to the ridge, arithmetic from it on"
    assert [line["x"] for line in points] == [pytest.approx([1]), pytest.approx([2e8 * 200 / (1e8 + 200 * 1e4)])]


def test_without_a_peak_or_a_model_card_there_is_no_roofline() -> None:
    assert roofline(a_document(peak=None)) is None
    assert roofline(a_document(sides=[{"name": "a", "card": None}])) is None


def test_loads_are_the_ticks_and_values_far_apart_have_a_logarithmic_axis() -> None:
    series = Series(name="a, ttft <p95>", points=((1, 0.01, "c=1"), (8, 1.0, "c=8")), colour=1, dashed=True)
    over = Axis(title="clients", form=plain)
    chart = line_chart("TTFT", [series], over, SECONDS, loads=[8, 1, 8])
    assert (chart.layout["xaxis"]["type"], chart.layout["xaxis"]["tickvals"]) == ("log", [1, 8])
    assert chart.layout["yaxis"]["type"] == "log"
    assert chart.data[0]["hovertext"] == ["a, ttft ‹p95›, c=1: 10 ms at 1", "a, ttft ‹p95›, c=8: 1 s at 8"]
    near = Series(name="a", points=((1, 0.5, "c=1"), (8, 1.0, "c=8")), colour=0)
    assert line_chart("TTFT", [near], over, SECONDS, loads=[1, 8]).layout["yaxis"]["rangemode"] == "tozero"


def test_a_chart_without_values_says_so() -> None:
    empty = Series(name="a", points=(), colour=0)
    chart = line_chart("TTFT", [empty], Axis(title="clients", form=plain), SECONDS)
    assert "No value was measured." in str(chart_places({"ttft": chart}))
    assert str(charts_json({"ttft": chart})) == "{}"
