"""A run as OpenTelemetry traces: to a file of OTLP's JSON, or to a collector."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentbench.errors import UserError
from agentbench.export.otel_spans import spans_of
from agentbench.export.target import whole
from agentbench.extras import install_hint
from agentbench.run import Run
from agentbench.store import Store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

CHUNK = 200
"""Attempts of a request."""


def write_otel(store: Store, run: Run, path: Path, *, force: bool = False) -> Mapping[str, int]:
    """Writes the run to `path`, one ExportTraceServiceRequest a line (the form of the collector's file exporter), and
    gives how many spans it has."""
    counts = {"spans": 0}
    with whole(path, force=force) as made, made.open("w", encoding="utf-8") as file:
        for spans in _chunks(store, run):
            file.write(otlp_json(spans) + "\n")
            counts["spans"] += len(spans)
    return counts


def send_otel(store: Store, run: Run, endpoint: str | None) -> Mapping[str, int]:
    """Sends the run over OTLP/HTTP, and gives how many spans it has.

    `endpoint` is a collector's address (http://localhost:4318); None takes that of OpenTelemetry's own variables
    (OTEL_EXPORTER_OTLP_ENDPOINT, …_HEADERS …). `UserError` when it does not take them.
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
        if told := _rejected(answers):
            raise UserError(f"{where} did not take all of the {counts['spans']} spans: {told}")
    finally:
        exporter.shutdown()
    return counts


def _rejected(answers: Sequence[bytes]) -> str:
    """What the collector said of spans that it took the request of and not them (OTLP's partial success)."""
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
    """The exporter, which puts the body of each answer into `answers`."""
    try:
        import requests
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError:
        raise _not_installed() from None
    given = None if endpoint is None else f"{endpoint.removesuffix('/').removesuffix('/v1/traces')}/v1/traces"
    session = requests.Session()
    session.hooks["response"].append(lambda response, **_: answers.append(response.content))
    return OTLPSpanExporter(endpoint=given, timeout=10, session=session), SpanExportResult


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
    for number, (attempt, case) in enumerate(store.whole_attempts(run.id), 1):
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
