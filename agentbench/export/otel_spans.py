"""An attempt as OpenTelemetry spans of the GenAI conventions (1.41, in development): a trace for each attempt.

The attempt is an `invoke_agent` span with its scores as `gen_ai.evaluation.result` events; its model calls are `chat`
spans, its tool calls `execute_tool` spans. What the conventions have no name for is under `agentbench.`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentbench.case import Case
from agentbench.export.otel_messages import otel_message
from agentbench.run import Run
from agentbench.score import Attempt, Score
from agentbench.stats.calls import completion_tokens, ttft_s
from agentbench.trace import ModelCall, ToolCall, UserTurn

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan

Attributes = Mapping[str, Any]
REQUEST = ("temperature", "top_p", "top_k", "max_tokens", "seed", "frequency_penalty", "presence_penalty")


def spans_of(run: Run, attempt: Attempt, case: Case, resource: "Resource") -> "Iterator[ReadableSpan]":
    """The attempt's span first, then those of its steps in their order; times in nanoseconds since the Unix epoch."""
    trace = _number(16, run.id, attempt.case_id, attempt.repeat)
    root = _number(8, trace, "attempt")
    yield _span(
        f"invoke_agent {_agent(run)}",
        (trace, root, None),
        resource,
        times=_wall(attempt, attempt.started_at, attempt.ended_at),
        attributes=_attempt_attributes(run, attempt, case),
        events=[_evaluated(attempt, score) for score in attempt.scores],
        error=f"{attempt.failure.kind}: {attempt.failure.message}" if attempt.failure else None,
    )
    for place, step in enumerate(attempt.trace.steps):
        ids = (trace, _number(8, trace, place), root)
        if isinstance(step, ModelCall):
            yield _model_span(attempt, step, ids, resource)
        elif isinstance(step, ToolCall):
            yield _tool_span(attempt, step, ids, resource)
        elif isinstance(step, UserTurn):
            times = _wall(attempt, step.started_at, step.ended_at)
            yield _span("user turn", ids, resource, times=times, attributes={"agentbench.step": "user_turn"})


Ids = tuple[int, int, int | None]
"""Trace, span and parent."""


def _model_span(attempt: Attempt, call: ModelCall, ids: Ids, resource: "Resource") -> "ReadableSpan":
    model = call.request.get("model")
    return _span(
        f"chat {model}" if model else "chat",
        ids,
        resource,
        client=True,
        times=_wall(attempt, call.sent_at, call.ended_at),
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",  # the form of the API; the server behind it may be any
            "gen_ai.request.model": model,
            **{f"gen_ai.request.{name}": call.request.get(name) for name in REQUEST},
            "gen_ai.request.stream": bool(call.chunk_at),
            "gen_ai.response.finish_reasons": [call.finish_reason] if call.finish_reason else None,
            "gen_ai.response.time_to_first_chunk": ttft_s(call),
            "gen_ai.usage.input_tokens": call.prompt_tokens,
            "gen_ai.usage.cache_read.input_tokens": call.cached_tokens,
            "gen_ai.usage.output_tokens": completion_tokens(call),
            "gen_ai.input.messages": _json([otel_message(each) for each in call.messages]),
            "gen_ai.output.messages": _json([otel_message(call.reply, call.finish_reason or "")]),
            "agentbench.chunk_at": [attempt.wall_anchor_ns + at for at in call.chunk_at],
            "error.type": "model_call" if call.error else None,
        },
        error=call.error,
    )


def _tool_span(attempt: Attempt, call: ToolCall, ids: Ids, resource: "Resource") -> "ReadableSpan":
    return _span(
        f"execute_tool {call.name}",
        ids,
        resource,
        times=_wall(attempt, call.started_at, call.ended_at),
        attributes={
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": call.call_id,
            "gen_ai.tool.call.arguments": _json(call.arguments),
            "gen_ai.tool.call.result": call.result,
            "agentbench.tool.executed": call.executed,
            "error.type": "tool" if call.error else None,
        },
        error=call.error,
    )


def _attempt_attributes(run: Run, attempt: Attempt, case: Case) -> Attributes:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": _agent(run),
        "gen_ai.conversation.id": f"{run.id}/{attempt.case_id}/{attempt.repeat}",
        "gen_ai.input.messages": _json([otel_message(each) for each in case.messages]),
        "gen_ai.output.messages": _json([otel_message({"role": "assistant", "content": attempt.trace.output}, "stop")]),
        "agentbench.case.id": attempt.case_id,
        "agentbench.case.cluster": attempt.cluster,
        "agentbench.case.expected": None if case.expected is None else _json(case.expected),
        "agentbench.repeat": attempt.repeat,
        "agentbench.passed": attempt.passed,
        "agentbench.failure": attempt.failure.kind if attempt.failure else None,
        "error.type": attempt.failure.kind if attempt.failure else None,
    }


def _evaluated(attempt: Attempt, score: Score) -> "Event":
    from opentelemetry.sdk.trace import Event

    label = {True: "pass", False: "fail", None: None}[score.passed]
    attributes = {
        "gen_ai.evaluation.name": score.name,
        "gen_ai.evaluation.score.value": score.value,
        "gen_ai.evaluation.score.label": label,
        "gen_ai.evaluation.explanation": score.reason or None,
    }
    at = attempt.wall_anchor_ns + attempt.ended_at
    return Event("gen_ai.evaluation.result", attributes=_known(attributes), timestamp=at)


def _span(
    name: str,
    ids: Ids,
    resource: "Resource",
    *,
    times: tuple[int, int],
    attributes: Attributes,
    events: "Sequence[Event]" = (),
    client: bool = False,
    error: str | None = None,
) -> "ReadableSpan":
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    trace, span, parent = ids
    flags = TraceFlags(TraceFlags.SAMPLED)
    return ReadableSpan(
        name=name,
        context=SpanContext(trace, span, is_remote=False, trace_flags=flags),
        parent=None if parent is None else SpanContext(trace, parent, is_remote=False, trace_flags=flags),
        resource=resource,
        attributes=_known(attributes),
        events=list(events),
        kind=SpanKind.CLIENT if client else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.UNSET),
        start_time=times[0],
        end_time=times[1],
        instrumentation_scope=InstrumentationScope("agentbench"),
    )


def _known(attributes: Attributes) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None and value != []}


def _wall(attempt: Attempt, *at: int) -> tuple[int, int]:
    return attempt.wall_anchor_ns + at[0], attempt.wall_anchor_ns + at[1]


def _agent(run: Run) -> str:
    agent = run.config.get("agent")
    return str(agent.get("name") or "agent") if isinstance(agent, Mapping) else str(agent or "agent")


def _number(size: int, *parts: object) -> int:
    """An id of so many bytes that is the same whenever the same thing is exported."""
    digest = hashlib.sha256("\x00".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:size], "big") or 1


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, default=str)
