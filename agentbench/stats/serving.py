"""A run's serving figures from its model calls: latencies, throughput, goodput."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentbench.stats.calls import NS
from agentbench.stats.outcomes import Outcome, meets
from agentbench.stats.usage import ModelUsage, added, total

Nanoseconds = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSummary:
    """Seconds, tokens, and rates per second; None when a value is undefined.

    Percentiles are over answered model calls, by linear interpolation. `wall_s` is the time with at least one attempt
    in flight. It is on the wall clock, so that attempts of several processes share one axis; the pause before a resumed
    run is not part of it, nor of any rate. Token counts are sums over the calls that have one, None when none has. When
    `uncounted_prompts` or `uncounted_completions` is above 0, they are lower bounds; `uncounted_timed` has the same
    meaning for `output_tokens_per_s`. `models` has the usage of each model. `ttft_calls` is the number of model calls
    with a known TTFT; an answer in one piece has none.
    """

    model_calls: int
    ttft_calls: int
    ttft_p50_s: float | None
    ttft_p90_s: float | None
    ttft_p95_s: float | None
    ttft_p99_s: float | None
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    tpot_p50_s: float | None
    tpot_p95_s: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    output_tokens_per_s: float | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    wall_s: float | None
    agent_goodput_per_s: float | None
    uncounted_prompts: int
    uncounted_completions: int
    uncounted_timed: int
    models: tuple[ModelUsage, ...]

    @property
    def held_text_back(self) -> bool:
        """Whether first tokens were counted before any of their text was visible."""
        counted, seen = (self.first_token_p50_s, self.first_token_p95_s), (self.ttft_p50_s, self.ttft_p95_s)
        return self.first_token_p50_s is not None and counted != seen


def percentile(values: Sequence[float], q: float) -> float | None:
    """The q-th percentile (0–100), linear between order statistics; None for no values."""
    return float(np.percentile(values, q)) if len(values) else None


def summarize_serving(outcomes: Iterable[Outcome], limits: Mapping[str, float] | None = None) -> ServingSummary:
    """The summary of a run's attempts; `limits` are its objectives, metric to limit in seconds."""
    tally = ServingTally(limits or {})
    for outcome in outcomes:
        tally.add(outcome)
    return tally.summary()


def output_throughput(outcomes: Iterable[Outcome]) -> float | None:
    """Σ completion tokens / (last token − first send) over all calls, in tokens per second.

    This is the throughput of a load: pauses inside it count, unlike those of a resumed run.
    """
    usages = [outcome.usage for outcome in outcomes]
    first = min((each.first_sent_at for each in usages if each.first_sent_at is not None), default=None)
    last = max((each.last_token_at for each in usages if each.last_token_at is not None), default=None)
    if first is None or last is None:
        return None
    return _rate(total(each.timed_tokens for each in usages), (last - first) * NS)


class ServingTally:
    """Adds up outcomes one by one, and stores only the latencies and times of each, as columns.

    Goodput is attempts per second that were right and met every one of `limits` (seconds).
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = limits
        self._ttft, self._first_token, self._tpot, self._latency = (array("d") for _ in range(4))
        self._calls = self._good = 0
        self._prompt = self._cached = self._completion = self._timed = None  # type: int | None
        self._uncounted = [0, 0, 0]
        self._models: tuple[ModelUsage, ...] = ()
        self._first_sent_at = self._last_token_at = None  # type: int | None
        self._began_at, self._ended_at = array("q"), array("q")

    def add(self, outcome: Outcome) -> None:
        usage = outcome.usage
        self._ttft.extend(outcome.ttft_s)
        self._first_token.extend(outcome.first_token_s)
        self._tpot.extend(outcome.tpot_s)
        self._latency.extend(outcome.latency_s)
        self._calls += usage.calls
        self._good += outcome.passed is True and meets(outcome, self._limits)
        self._prompt = total((self._prompt, usage.prompt_tokens))
        self._cached = total((self._cached, usage.cached_tokens))
        self._completion = total((self._completion, usage.completion_tokens))
        self._timed = total((self._timed, usage.timed_tokens))
        lacking = (usage.uncounted_prompts, usage.uncounted_completions, usage.uncounted_timed)
        self._uncounted = [before + more for before, more in zip(self._uncounted, lacking, strict=True)]
        self._models = added((*self._models, *usage.models))
        self._first_sent_at = _least(self._first_sent_at, usage.first_sent_at)
        self._last_token_at = _most(self._last_token_at, usage.last_token_at)
        self._began_at.append(outcome.began_at)
        self._ended_at.append(outcome.ended_at)

    def summary(self) -> ServingSummary:
        ttft, tpot, latency = self._ttft, self._tpot, self._latency
        began, ended = in_flight(self._began_at, self._ended_at)
        wall = float((ended - began).sum()) * NS if len(began) else None
        served = self._served(began, ended)
        return ServingSummary(
            model_calls=self._calls,
            ttft_calls=len(ttft),
            ttft_p50_s=percentile(ttft, 50),
            ttft_p90_s=percentile(ttft, 90),
            ttft_p95_s=percentile(ttft, 95),
            ttft_p99_s=percentile(ttft, 99),
            first_token_p50_s=percentile(self._first_token, 50),
            first_token_p95_s=percentile(self._first_token, 95),
            tpot_p50_s=percentile(tpot, 50),
            tpot_p95_s=percentile(tpot, 95),
            latency_p50_s=percentile(latency, 50),
            latency_p95_s=percentile(latency, 95),
            output_tokens_per_s=_rate(self._timed, served),
            prompt_tokens=self._prompt,
            cached_tokens=self._cached,
            completion_tokens=self._completion,
            wall_s=wall,
            agent_goodput_per_s=_rate(self._good, wall),
            uncounted_prompts=self._uncounted[0],
            uncounted_completions=self._uncounted[1],
            uncounted_timed=self._uncounted[2],
            models=self._models,
        )

    def _served(self, began: Nanoseconds, ended: Nanoseconds) -> float | None:
        """Time from the first send to the last token, without the time outside the intervals [began, ended]."""
        if self._first_sent_at is None or self._last_token_at is None:
            return None
        inside = np.minimum(ended, self._last_token_at) - np.maximum(began, self._first_sent_at)
        return float(np.maximum(inside, 0).sum()) * NS


def in_flight(began: Sequence[int], ended: Sequence[int]) -> tuple[Nanoseconds, Nanoseconds]:
    """The intervals in which at least one span [began, ended] was open: their starts and ends, in order."""
    starts, ends = np.array(began, dtype=np.int64), np.array(ended, dtype=np.int64)
    if not len(starts):
        return starts, ends
    order = np.argsort(starts)
    starts, reached = starts[order], np.maximum.accumulate(ends[order])
    opens = np.flatnonzero(starts[1:] > reached[:-1]) + 1
    return starts[np.concatenate(([0], opens))], reached[np.concatenate((opens - 1, [len(starts) - 1]))]


def _least(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def _most(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)


def _rate(count: int | None, seconds: float | None) -> float | None:
    return count / seconds if count is not None and seconds else None
