"""One attempt as JSON: all that is stored of it, and each call's metrics."""

from dataclasses import asdict
from typing import Any

from agentbench.case import Case
from agentbench.score import Attempt
from agentbench.stats.calls import CALL_METRICS
from agentbench.trace import ModelCall, Step, ToolCall


def attempt_json(case: Case, attempt: Attempt) -> dict[str, Any]:
    """`case` and `attempt`; each model call has its raw times (`*_at`, ns) and ttft_s, tpot_s, latency_s …"""
    stored = asdict(attempt)
    stored["trace"]["steps"] = [_step(step) for step in attempt.trace.steps]
    return {"case": asdict(case), "attempt": stored}


def _step(step: Step) -> dict[str, Any]:
    if not isinstance(step, ModelCall):
        return {"kind": "tool_call" if isinstance(step, ToolCall) else "user_turn", **asdict(step)}
    metrics = {f"{name}_s": measure(step) for name, measure in CALL_METRICS.items()}
    return {"kind": "model_call", **asdict(step), **metrics}
