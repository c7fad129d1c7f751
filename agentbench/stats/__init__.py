"""Metrics and statistics, each derived from raw facts in one place."""

from agentbench.stats.estimates import Estimate, mean_estimate, percentile_estimate
from agentbench.stats.paired import PairedComparison, compare_passes
from agentbench.stats.repeats import mean_pass_at_k, mean_pass_hat_k
from agentbench.stats.serving import ServingSummary, summarize_serving
from agentbench.stats.shift import compare_latency

__all__ = [
    "Estimate",
    "PairedComparison",
    "ServingSummary",
    "compare_latency",
    "compare_passes",
    "mean_estimate",
    "mean_pass_at_k",
    "mean_pass_hat_k",
    "percentile_estimate",
    "summarize_serving",
]
