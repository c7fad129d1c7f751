"""The metrics that a Prometheus server scrapes: vLLM's names, where there is one, with another prefix."""

import math
from collections import deque
from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.core import EngineStats
from serving.http.usage import Tally

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Seconds. A token takes milliseconds on a GPU and tenths of a second on a loaded CPU.
TTFT_BUCKETS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
TPOT_BUCKETS = (0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
LATENCY_BUCKETS = (0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 60, 120, 240, 480)
TOKEN_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
LATEST = 64
MOST_S = 60


class Metrics:
    """Of one server. Requests are observed here; the engine's own counts are asked for at each scrape.

    To be used from the event loop only.
    """

    def __init__(self, model: str, stats: Callable[[], EngineStats]) -> None:
        self.pace = Pace()
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
        self._success = self._counter("request_success", "Answers by how they ended.", "finished_reason")
        self._responses = self._counter("http_responses", "HTTP responses.", "endpoint", "status")

    def inter_token(self, seconds: float, tokens: int) -> None:
        """`tokens` came together and took `seconds` each."""
        for _ in range(tokens):
            self._tpot.observe(seconds)

    def ended(self, tally: Tally, at: float) -> None:
        """A request, however it ended. What the client left unfinished counts as aborted."""
        self.pace.ended(at)
        for reason in tally.finish_reasons:
            self._success.labels(self._model, reason or "abort").inc()
        self._latency.observe(at - tally.started_at)
        if tally.first_token_at is not None:
            self._ttft.observe(tally.first_token_at - tally.started_at)
            self._prompt.observe(tally.prompt_tokens)
            self._generated.observe(tally.completion_tokens)

    def responded(self, endpoint: str, status: int) -> None:
        self._responses.labels(self._model, endpoint, str(status)).inc()

    def text(self) -> bytes:
        """In Prometheus' text format, `CONTENT_TYPE`."""
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
        yield self._gauge("num_requests_waiting", "Requests that wait.", stats.waiting)
        yield self._gauge("kv_cache_usage_perc", "KV blocks in use, 1 is all.", _share_used(stats))
        yield self._gauge("kv_blocks_free", "KV blocks that are free.", stats.blocks_free)
        yield self._gauge("kv_blocks_total", "KV blocks.", stats.blocks_total)
        yield self._counter("prompt_tokens", "Prompt tokens of admitted requests.", stats.prompt_tokens)
        yield self._counter("generation_tokens", "Generated tokens.", stats.generation_tokens)
        yield self._counter("prefix_cache_queries", "Prompt tokens looked up.", stats.prompt_tokens)
        yield self._counter("prefix_cache_hits", "Prompt tokens found in the prefix cache.", stats.cached_tokens)
        yield self._counter("num_preemptions", "Sequences that gave up their blocks.", stats.preemptions)
        yield self._counter("forced_tokens", "Generated tokens that a grammar forced.", stats.forced_tokens)
        yield self._counter("spec_decode_num_draft_tokens", "Tokens guessed.", stats.drafted_tokens)
        yield self._counter("spec_decode_num_accepted_tokens", "Guesses confirmed.", stats.accepted_tokens)
        yield self._counter("engine_steps", "Steps of the engine.", stats.steps)

    def _gauge(self, name: str, help: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"serving_{name}", help, labels=["model_name"])
        family.add_metric([self._model], value)
        return family

    def _counter(self, name: str, help: str, value: float) -> Metric:
        family = CounterMetricFamily(f"serving_{name}", help, labels=["model_name"])
        family.add_metric([self._model], value)
        return family


def _share_used(stats: EngineStats) -> float:
    return 1 - stats.blocks_free / stats.blocks_total if stats.blocks_total else 0.0


class Pace:
    """Remembers when the latest requests ended. Times are of `time.monotonic`."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=LATEST)

    def ended(self, at: float) -> None:
        self._ends.append(at)

    def retry_after_s(self, now: float) -> int:
        """When the next place in the queue is likely to be free: the mean time between two ends, in whole seconds.

        1 while too little is known to tell, and never more than `MOST_S`.
        """
        if len(self._ends) < 2:
            return 1
        mean = (now - self._ends[0]) / (len(self._ends) - 1)
        return max(1, min(MOST_S, math.ceil(mean)))
