"""Figures of a server and of spending, from outcomes; each is defined in `agentbench.stats`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from scipy import stats

from agentbench.stats import Outcome, summarize_serving
from agentbench.stats.costs import Prices, cost_of
from agentbench.stats.outcomes import ModelUsage, added
from tuners.search.evaluator import Figures


def figures_of(outcomes: Sequence[Outcome], limits: Mapping[str, float], prices: Prices, model: str = "") -> Figures:
    """Metric to value, those that are defined: times in seconds, rates a second, tokens and cost of an attempt.

    `goodput` counts attempts that were right and met every limit. A sum from which a call is missing is not given: it
    would make a candidate look cheaper than it is. `model` is the one configured, whose price is that of calls under
    another name where they are all to one model.
    """
    summary = summarize_serving(outcomes, limits)
    found = {
        "ttft_p50": summary.ttft_p50_s,
        "ttft_p95": summary.ttft_p95_s,
        "ttft_p99": summary.ttft_p99_s,
        "tpot_p50": summary.tpot_p50_s,
        "tpot_p95": summary.tpot_p95_s,
        "latency_p50": summary.latency_p50_s,
        "latency_p95": summary.latency_p95_s,
        "output_tokens_per_s": None if summary.uncounted_timed else summary.output_tokens_per_s,
        "attempts_per_s": len(outcomes) / summary.wall_s if summary.wall_s else None,
        "goodput": summary.agent_goodput_per_s,
        "tokens": _tokens(outcomes),
        "cost": _cost(outcomes, prices, model),
    }
    return {name: value for name, value in found.items() if value is not None}


def _usages(outcomes: Sequence[Outcome]) -> tuple[ModelUsage, ...]:
    """Of the outcomes that did not fail; nothing where a call of one has no count: it may be any."""
    found = added(usage for each in outcomes if each.failure is None for usage in each.usage.models)
    return () if any(each.uncounted for each in found) else found


def _tokens(outcomes: Sequence[Outcome]) -> float | None:
    usages = _usages(outcomes)
    return sum(each.prompt_tokens + each.completion_tokens for each in usages) / len(outcomes) if usages else None


def _cost(outcomes: Sequence[Outcome], prices: Prices, model: str) -> float | None:
    usages = _usages(outcomes)
    if len(usages) == 1 and usages[0].model not in prices:
        usages = (replace(usages[0], model=model),)
    found = cost_of(usages, prices)
    return None if found is None or found.unknown_calls else found.value / len(outcomes)


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
