"""Figures of a server and of spending, from outcomes; each is defined in `agentbench.stats`."""

from collections.abc import Iterable, Mapping, Sequence

from scipy import stats

from agentbench.stats import Outcome, summarize_serving
from agentbench.stats.outcomes import total
from tuners.evaluator import Figures

Prices = Mapping[str, Mapping[str, float]]
"""Model to the price of a million `prompt` and `completion` tokens."""


def figures_of(outcomes: Sequence[Outcome], limits: Mapping[str, float], price: Mapping[str, float]) -> Figures:
    """Metric to value, those that are defined: times in seconds, rates a second, tokens and cost of an attempt.

    `goodput` counts attempts that were right and met every limit.
    """
    summary = summarize_serving(outcomes, limits)
    prompt, completion = _mean(outcomes, "prompt_tokens"), _mean(outcomes, "completion_tokens")
    found = {
        "ttft_p50": summary.ttft_p50_s,
        "ttft_p95": summary.ttft_p95_s,
        "ttft_p99": summary.ttft_p99_s,
        "tpot_p50": summary.tpot_p50_s,
        "tpot_p95": summary.tpot_p95_s,
        "latency_p50": summary.latency_p50_s,
        "latency_p95": summary.latency_p95_s,
        "output_tokens_per_s": summary.output_tokens_per_s,
        "attempts_per_s": len(outcomes) / summary.wall_s if summary.wall_s else None,
        "goodput": summary.agent_goodput_per_s,
        "tokens": None if prompt is None or completion is None else prompt + completion,
        "cost": _cost(prompt, completion, price),
    }
    return {name: value for name, value in found.items() if value is not None}


def _mean(outcomes: Sequence[Outcome], field: str) -> float | None:
    """Of the outcomes that did not fail; None where one of them has no count: it may be any."""
    counts = [getattr(each.usage, field) for each in outcomes if each.failure is None and each.usage.calls]
    tokens = None if None in counts else total(counts)
    return None if tokens is None else tokens / len(outcomes)


def _cost(prompt: float | None, completion: float | None, price: Mapping[str, float]) -> float | None:
    if not price or prompt is None or completion is None:
        return None
    return (prompt * price.get("prompt", 0.0) + completion * price.get("completion", 0.0)) / 1e6


ALPHA = 0.05
"""One-sided: of how many that could still be met so many are taken to be out of reach."""

PERCENTILES = (("ttft", 50), ("ttft", 95), ("ttft", 99), ("tpot", 50), ("tpot", 95), ("latency", 50), ("latency", 95))


def at_best(outcomes: Sequence[Outcome]) -> Figures:
    """The least that each percentile of the times may be, by these calls: the lower end of its one-sided interval of
    95 %, from the binomial distribution of how many calls are below it."""
    found: dict[str, float] = {}
    for name, percent in PERCENTILES:
        times = sorted(_times(outcomes, name))
        place = int(stats.binom.ppf(ALPHA, len(times), percent / 100)) if times else 0
        if place > 0:
            found[f"{name}_p{percent}"] = times[place - 1]
    return found


def _times(outcomes: Sequence[Outcome], name: str) -> Iterable[float]:
    return (time for outcome in outcomes for time in getattr(outcome, f"{name}_s"))
