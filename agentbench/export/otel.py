"""A run as OpenTelemetry traces, written to a file of OTLP JSON or sent to a collector.

Each attempt is a trace in the GenAI conventions (1.41, in development). The attempt is an `invoke_agent` span with its
scores as `gen_ai.evaluation.result` events. Its model calls are `chat` spans, its tool calls `execute_tool` spans.
Attributes without a name in the conventions are under `agentbench.`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentbench.core.attempt import Attempt, Score
from agentbench.core.case import Case
from agentbench.core.run import Run
from agentbench.core.trace import ModelCall, ToolCall, UserTurn
from agentbench.export.otlp import otel_message
from agentbench.stats.calls import ttft_s

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from agentbench.atomic_write import atomic_write
from agentbench.core.errors import UserError
from agentbench.extras import install_hint
from agentbench.store import Store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


Attributes = Mapping[str, Any]
REQUEST = ("temperature", "top_p", "top_k", "max_tokens", "seed", "frequency_penalty", "presence_penalty")


def spans_of(run: Run, attempt: Attempt, case: Case, resource: "Resource") -> "Iterator[ReadableSpan]":
    """The attempt's span first, then those of its steps in order; times are nanoseconds since the Unix epoch."""
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
            "gen_ai.provider.name": "openai",  # the API's format; any server may be behind it
            "gen_ai.request.model": model,
            **{f"gen_ai.request.{name}": call.request.get(name) for name in REQUEST},
            "gen_ai.request.stream": bool(call.chunk_at),
            "gen_ai.response.finish_reasons": [call.finish_reason] if call.finish_reason else None,
            "gen_ai.response.time_to_first_chunk": ttft_s(call),
            "gen_ai.usage.input_tokens": call.prompt_tokens,
            "gen_ai.usage.cache_read.input_tokens": call.cached_tokens,
            "gen_ai.usage.output_tokens": call.completion_tokens,
            "gen_ai.input.messages": _json([otel_message(each) for each in call.messages]),
            "gen_ai.output.messages": _json([otel_message(call.reply, call.finish_reason or "")]),
            "agentbench.chunk_at": [attempt.wall_anchor_ns + at for at in call.chunk_at],
            "agentbench.chunk_tokens": list(call.chunk_tokens),
            "agentbench.silent_chunks": call.silent_chunks,
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
    return Event("gen_ai.evaluation.result", attributes=_present(attributes), timestamp=at)


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
        attributes=_present(attributes),
        events=list(events),
        kind=SpanKind.CLIENT if client else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.UNSET),
        start_time=times[0],
        end_time=times[1],
        instrumentation_scope=InstrumentationScope("agentbench"),
    )


def _present(attributes: Attributes) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None and value != []}


def _wall(attempt: Attempt, *at: int) -> tuple[int, int]:
    return attempt.wall_anchor_ns + at[0], attempt.wall_anchor_ns + at[1]


def _agent(run: Run) -> str:
    agent = run.config.get("agent")
    return str(agent.get("name") or "agent") if isinstance(agent, Mapping) else str(agent or "agent")


def _number(size: int, *parts: object) -> int:
    """A deterministic id of this many bytes, so that a repeated export gives the same ids."""
    digest = hashlib.sha256("\x00".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:size], "big") or 1


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, default=str)


CHUNK = 200
"""Attempts of a request."""


def write_otel(store: Store, run: Run, path: Path, *, force: bool = False) -> Mapping[str, int]:
    """Writes the run to `path`, and returns the number of spans.

    Each line is an ExportTraceServiceRequest (the format of the collector's file exporter).
    """
    counts = {"spans": 0}
    with atomic_write(path, force=force) as draft, draft.open("w", encoding="utf-8") as file:
        for spans in _chunks(store, run):
            file.write(otlp_json(spans) + "\n")
            counts["spans"] += len(spans)
    return counts


def send_otel(store: Store, run: Run, endpoint: str | None) -> Mapping[str, int]:
    """Sends the run over OTLP/HTTP, and returns the number of spans.

    `endpoint` is a collector's address (http://localhost:4318). None uses OpenTelemetry's own variables
    (OTEL_EXPORTER_OTLP_ENDPOINT, …_HEADERS …). `UserError` when the collector rejects spans.
    """
    answers: list[bytes] = []
    exporter, result = _exporter(endpoint, answers)
    counts = {"spans": 0}
    where = endpoint or "the collector of OTEL_EXPORTER_OTLP_ENDPOINT"
    try:
        for spans in _chunks(store, run):
            if exporter.export(spans) is not result.SUCCESS:
                raise UserError(f"{where} did not take the spans (sent before: {counts['spans']}). Is it listening?")
            counts["spans"] += len(spans)
        if rejected := _rejected(answers):
            raise UserError(f"{where} did not take all of the {counts['spans']} spans: {rejected}")
    finally:
        exporter.shutdown()
    return counts


def _rejected(answers: Sequence[bytes]) -> str:
    """The collector's message on rejected spans in a request that it accepted (OTLP's partial success)."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    count, reason = 0, ""
    for answer in answers:
        try:
            found = ExportTraceServiceResponse.FromString(answer).partial_success
        except DecodeError:
            continue
        count += found.rejected_spans
        reason = reason or " ".join(found.error_message.split())
    return f"it rejected {count}: {reason or 'without a reason'}" if count else ""


def _exporter(endpoint: str | None, answers: list[bytes]) -> tuple[Any, Any]:
    """The exporter, which appends the body of each response to `answers`."""
    try:
        import requests
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError:
        raise _not_installed() from None
    url = None if endpoint is None else f"{endpoint.removesuffix('/').removesuffix('/v1/traces')}/v1/traces"
    session = requests.Session()
    session.hooks["response"].append(lambda response, **_: answers.append(response.content))
    return OTLPSpanExporter(endpoint=url, timeout=10, session=session), SpanExportResult


def _not_installed() -> UserError:
    return UserError(f"traces need OpenTelemetry: {install_hint('otel')}")


def _chunks(store: Store, run: Run) -> "Iterator[list[ReadableSpan]]":
    try:
        from opentelemetry.sdk.resources import Resource
    except ImportError:
        raise _not_installed() from None
    about = {"service.name": "agentbench", "agentbench.run.id": run.id, "agentbench.run.label": run.label}
    resource = Resource({**about, "agentbench.suite": run.suite, "agentbench.config_hash": run.config_hash})
    spans: list[ReadableSpan] = []
    for number, (attempt, case) in enumerate(store.attempts_with_cases(run.id), 1):
        spans += spans_of(run, attempt, case, resource)
        if number % CHUNK == 0:
            yield spans
            spans = []
    if spans:
        yield spans


def otlp_json(spans: "Sequence[ReadableSpan]") -> str:
    """An ExportTraceServiceRequest as OTLP's JSON: ids in hexadecimal, enumerations as numbers."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    document = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
    for group in document.get("resourceSpans", ()):
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(document, separators=(",", ":"))
