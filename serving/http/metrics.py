"""The metrics for Prometheus. Where vLLM has the same metric, its name is used, with the prefix `serving_`."""

import math
from collections import deque
from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.core import EngineStats
from serving.http.usage import RequestUsage

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Seconds. A token takes milliseconds on a GPU and tenths of a second on a loaded CPU.
TTFT_BUCKETS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
TPOT_BUCKETS = (0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
LATENCY_BUCKETS = (0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 60, 120, 240, 480)
TOKEN_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
MAX_COMPLETIONS = 64
MAX_RETRY_AFTER_S = 60


class Metrics:
    """The metrics of one server. Each scrape reads the engine's counts with `stats`.

    Not thread-safe: call it from the event loop only.
    """

    def __init__(self, model: str, stats: Callable[[], EngineStats]) -> None:
        self.completions = RecentCompletions()
        self._model = model
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(model, stats))
        self._ttft = self._histogram("time_to_first_token_seconds", "Arrival to first token.", TTFT_BUCKETS)
        self._tpot = self._histogram("time_per_output_token_seconds", "From one token to the next.", TPOT_BUCKETS)
        self._latency = self._histogram("e2e_request_latency_seconds", "Arrival to last token.", LATENCY_BUCKETS)
        self._prompt = self._histogram("request_prompt_tokens", "Prompt tokens of a request.", TOKEN_BUCKETS)
        self._generated = self._histogram(
            "request_generation_tokens", "Generated tokens of a request, all answers together.", TOKEN_BUCKETS
        )
        self._success = self._counter("request_success", "Answers by finish reason.", "finished_reason")
        self._responses = self._counter("http_responses", "HTTP responses.", "endpoint", "status")

    def observe_inter_token(self, seconds: float, tokens: int) -> None:
        """Record `tokens` tokens that arrived together, with `seconds` seconds for each."""
        for _ in range(tokens):
            self._tpot.observe(seconds)

    def observe_request(self, usage: RequestUsage, at: float) -> None:
        """Record a request that ended at `at`. Answers without a finish reason count as aborted."""
        self.completions.add(at)
        for reason in usage.finish_reasons:
            self._success.labels(self._model, reason or "abort").inc()
        self._latency.observe(at - usage.started_at)
        if usage.first_token_at is not None:
            self._ttft.observe(usage.first_token_at - usage.started_at)
            self._prompt.observe(usage.prompt_tokens)
            self._generated.observe(usage.completion_tokens)

    def count_response(self, endpoint: str, status: int) -> None:
        self._responses.labels(self._model, endpoint, str(status)).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format, whose media type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(f"serving_{name}", help, ["model_name"], registry=self._registry, buckets=buckets)
        return histogram.labels(self._model)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"serving_{name}", help, ["model_name", *labels], registry=self._registry)


class _EngineCollector(Collector):
    def __init__(self, model: str, stats: Callable[[], EngineStats]) -> None:
        self._model = model
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats()
        yield self._gauge("num_requests_running", "Answers being generated.", stats.running)
        yield self._gauge("num_requests_waiting", "Requests waiting for the engine.", stats.waiting)
        yield self._gauge("kv_cache_usage_perc", "Used share of the KV blocks, 0 to 1.", _used_share(stats))
        yield self._gauge("kv_blocks_free", "Free KV blocks.", stats.blocks_free)
        yield self._gauge("kv_blocks_total", "KV blocks.", stats.blocks_total)
        yield self._counter("prompt_tokens", "Prompt tokens of accepted requests.", stats.prompt_tokens)
        yield self._counter("generation_tokens", "Generated tokens.", stats.generation_tokens)
        yield self._counter("prefix_cache_queries", "Prompt tokens looked up in the prefix cache.", stats.prompt_tokens)
        yield self._counter("prefix_cache_hits", "Prompt tokens found in the prefix cache.", stats.cached_tokens)
        yield self._counter("num_preemptions", "Preemptions of running sequences.", stats.preemptions)
        yield self._counter("forced_tokens", "Generated tokens that a grammar forced.", stats.forced_tokens)
        yield self._counter("spec_decode_num_draft_tokens", "Draft tokens computed.", stats.drafted_tokens)
        yield self._counter("spec_decode_num_accepted_tokens", "Draft tokens accepted.", stats.accepted_tokens)
        yield self._counter("engine_steps", "Steps of the engine.", stats.steps)

    def _gauge(self, name: str, help: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"serving_{name}", help, labels=["model_name"])
        family.add_metric([self._model], value)
        return family

    def _counter(self, name: str, help: str, value: float) -> Metric:
        family = CounterMetricFamily(f"serving_{name}", help, labels=["model_name"])
        family.add_metric([self._model], value)
        return family


def _used_share(stats: EngineStats) -> float:
    return 1 - stats.blocks_free / stats.blocks_total if stats.blocks_total else 0.0


class RecentCompletions:
    """The times at which the latest `MAX_COMPLETIONS` requests ended, in seconds of `time.monotonic`."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MAX_COMPLETIONS)

    def add(self, at: float) -> None:
        self._times.append(at)

    def retry_after_s(self, now: float) -> int:
        """The expected time until a place in the queue is free: the mean time between two completions.

        In whole seconds, 1 to `MAX_RETRY_AFTER_S`; 1 with fewer than two completions.
        """
        if len(self._times) < 2:
            return 1
        mean = (now - self._times[0]) / (len(self._times) - 1)
        return max(1, min(MAX_RETRY_AFTER_S, math.ceil(mean)))
