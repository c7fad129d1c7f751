"""Metrics and statistics, each derived from raw facts in one place."""

from agentbench.stats.comparison import PairedComparison, compare_passes
from agentbench.stats.estimates import Estimate, mean_estimate, percentile_estimate
from agentbench.stats.gate import GateVerdict, judge_gate
from agentbench.stats.outcomes import Outcome, outcome_of
from agentbench.stats.serving import ServingSummary, summarize_serving

__all__ = [
    "Estimate",
    "GateVerdict",
    "Outcome",
    "PairedComparison",
    "ServingSummary",
    "compare_passes",
    "judge_gate",
    "mean_estimate",
    "outcome_of",
    "percentile_estimate",
    "summarize_serving",
]
