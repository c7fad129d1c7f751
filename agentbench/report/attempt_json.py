"""One attempt as JSON: all that is stored of it, and each call's metrics."""

from dataclasses import asdict
from typing import Any

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.trace import ModelCall, Step, ToolCall
from agentbench.stats.calls import CALL_METRICS
from agentbench.stats.outcomes import outcome_of
from agentbench.stats.usage import Prices, call_cost, cost_of, model_of


def attempt_json(case: Case, attempt: Attempt, prices: Prices) -> dict[str, Any]:
    """`case`, `attempt` and its `figures`; each model call has its raw times (`*_at`, ns), its model and cost, and
    ttft_s, tpot_s, latency_s …"""
    stored = asdict(attempt)
    stored["trace"]["steps"] = [_step(step, prices) for step in attempt.trace.steps]
    return {"case": asdict(case), "attempt": stored, "figures": attempt_figures(attempt, prices)}


def attempt_figures(attempt: Attempt, prices: Prices) -> dict[str, float | int | None]:
    """What the attempt took: `agent_s` without a simulated user's turns, `ttft_s` of its first answered call, the
    tokens of all its calls and their cost. `uncounted_prompts`, `uncounted_completions` and `cost_unknown_calls` are
    the calls that are missing from a sum."""
    outcome = outcome_of(attempt)
    cost = cost_of(outcome.usage.models, prices)
    return {
        "agent_s": outcome.agent_s,
        "ttft_s": outcome.ttft_s[0] if outcome.ttft_s else None,
        "model_calls": outcome.usage.calls,
        "prompt_tokens": outcome.usage.prompt_tokens,
        "cached_tokens": outcome.usage.cached_tokens,
        "completion_tokens": outcome.usage.completion_tokens,
        "uncounted_prompts": outcome.usage.uncounted_prompts,
        "uncounted_completions": outcome.usage.uncounted_completions,
        "cost": None if cost is None else cost.value,
        "cost_unknown_calls": cost.unknown_calls if cost else 0,
    }


def _step(step: Step, prices: Prices) -> dict[str, Any]:
    if not isinstance(step, ModelCall):
        return {"kind": "tool_call" if isinstance(step, ToolCall) else "user_turn", **asdict(step)}
    metrics = {f"{name}_s": measure(step) for name, measure in CALL_METRICS.items()}
    own = {"model": model_of(step), "cost": call_cost(step, prices)}
    return {"kind": "model_call", **asdict(step), **own, **metrics}
