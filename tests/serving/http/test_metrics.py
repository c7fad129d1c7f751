"""The metrics of /metrics."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.core import EngineStats
from serving.http.metrics import MAX_RETRY_AFTER_S, RecentCompletions
from tests.serving.fake_engine import FakeEngine
from tests.serving.http_client import CHAT, HELLO, app_of, client_of

DOCUMENTED = {
    "serving_e2e_request_latency_seconds",
    "serving_engine_steps",
    "serving_forced_tokens",
    "serving_generation_tokens",
    "serving_http_responses",
    "serving_kv_blocks_free",
    "serving_kv_blocks_total",
    "serving_kv_cache_usage_perc",
    "serving_num_preemptions",
    "serving_num_requests_running",
    "serving_num_requests_waiting",
    "serving_prefix_cache_hits",
    "serving_prefix_cache_queries",
    "serving_prompt_tokens",
    "serving_request_generation_tokens",
    "serving_request_prompt_tokens",
    "serving_request_success",
    "serving_spec_decode_num_accepted_tokens",
    "serving_spec_decode_num_draft_tokens",
    "serving_time_per_output_token_seconds",
    "serving_time_to_first_token_seconds",
}


async def scraped(engine: FakeEngine, *bodies: object) -> tuple[set[str], dict[tuple[str, ...], float]]:
    """Scrape /metrics after these requests: the family names, and each sample's value by its name and other labels."""
    async with client_of(app_of(engine)) as client:
        for body in bodies:
            await client.post(CHAT, json=body)
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(response.text))
    samples = [sample for family in families for sample in family.samples]
    assert all(sample.labels.pop("model_name") == "m" for sample in samples)
    values = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    return {family.name for family in families if not family.name.endswith("_created")}, values


async def test_every_documented_name_is_there_and_no_other() -> None:
    names, _ = await scraped(FakeEngine("a"), HELLO)
    assert names == DOCUMENTED


def test_the_documentation_has_every_name() -> None:
    text = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")
    assert [name for name in DOCUMENTED if not re.search(rf"`{name.removeprefix('serving_')}(_total)?`", text)] == []


async def test_a_scrape_reads_the_engines_counts() -> None:
    engine = FakeEngine()
    engine.load = EngineStats(
        running=2, waiting=3, blocks_free=4, blocks_total=16, prompt_tokens=50, cached_tokens=20, forced_tokens=7
    )
    _, values = await scraped(engine)
    assert values[("serving_num_requests_running",)] == 2
    assert values[("serving_num_requests_waiting",)] == 3
    assert values[("serving_kv_cache_usage_perc",)] == 0.75
    assert values[("serving_prefix_cache_queries_total",)] == 50
    assert values[("serving_prefix_cache_hits_total",)] == 20
    assert values[("serving_forced_tokens_total",)] == 7


async def test_requests_are_counted_by_finish_reason() -> None:
    _, values = await scraped(FakeEngine("a", "bc", "d", finish_reason="length"), HELLO, {**HELLO, "n": 2})
    assert values[("serving_request_success_total", "length")] == 3
    assert values[("serving_time_to_first_token_seconds_count",)] == 2
    assert values[("serving_e2e_request_latency_seconds_count",)] == 2
    assert values[("serving_request_generation_tokens_sum",)] == 4 + 8
    assert values[("serving_time_per_output_token_seconds_count",)] == 3 * 3  # all but an answer's first delta
    assert values[("serving_http_responses_total", CHAT, "200")] == 2


async def test_a_refused_request_counts_as_a_response_only() -> None:
    _, values = await scraped(FakeEngine("a"), {**HELLO, "n": 99})
    assert values[("serving_http_responses_total", CHAT, "400")] == 1
    assert values[("serving_e2e_request_latency_seconds_count",)] == 0


@pytest.mark.parametrize("path", ["/" + "x" * 300, "/v1/models/a", "/v1/models/b"])
async def test_a_client_can_not_invent_labels(path: str) -> None:
    async with client_of(app_of(FakeEngine())) as client:
        await client.get(path)
        assert 'endpoint="other",model_name="m",status="404"' in (await client.get("/metrics")).text


def completions(*times: float) -> RecentCompletions:
    result = RecentCompletions()
    for at in times:
        result.add(at)
    return result


def test_retry_after_is_the_mean_time_between_completions() -> None:
    assert completions(10, 13, 16).retry_after_s(16) == 3
    assert completions(10, 10.1, 10.2).retry_after_s(10.2) == 1


def test_retry_after_grows_while_no_request_ends() -> None:
    assert completions(10, 11).retry_after_s(31) == 21
    assert completions(10, 11).retry_after_s(10_000) == MAX_RETRY_AFTER_S


def test_retry_after_is_one_second_with_fewer_than_two_completions() -> None:
    assert completions().retry_after_s(5) == 1
    assert completions(1).retry_after_s(500) == 1
