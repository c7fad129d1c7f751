"""The exported tables: rows for each attempt, with every time on the wall clock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from agentbench.core.attempt import Attempt, Label
from agentbench.core.trace import ModelCall, Step, ToolCall
from agentbench.stats.calls import CALL_METRICS, NS

Kind = Literal["text", "int", "float", "bool", "json"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind


def _table(*kinds: str) -> tuple[Column, ...]:
    """A table's columns from texts "kind: name name …", preceded by the key that joins the tables."""
    parts = (part.split(": ") for part in ("text: run_id case_id", "int: repeat", *kinds))
    return tuple(Column(name, cast(Kind, kind)) for kind, names in parts for name in names.split())


SPAN = ("int: started_at_ns ended_at_ns", "float: duration_s")
TABLES: Mapping[str, tuple[Column, ...]] = {
    "attempts": _table(
        "text: cluster",
        "int: seed tries",
        "bool: passed",
        "text: failure_kind failure_message",
        *SPAN,
        "float: cold_start_s",
        "int: model_calls tool_calls",
        "text: output",
        "json: end_state",
    ),
    "model_calls": _table(
        "int: position",
        "text: finish_reason error",
        "int: intended_at_ns sent_at_ns ended_at_ns",
        "float: " + " ".join(f"{name}_s" for name in CALL_METRICS),
        "int: prompt_tokens cached_tokens completion_tokens silent_chunks",
        "json: chunk_at_ns chunk_tokens messages request reply",
    ),
    "tool_calls": _table(
        "int: position", "text: call_id name", "json: arguments", "bool: executed", "text: result error", *SPAN
    ),
    "user_turns": _table("int: position", "json: messages state", *SPAN),
    "scores": _table("int: position", "text: name", "float: value", "bool: passed", "text: reason"),
    "labels": _table("text: reviewer", "bool: passed", "text: comment created_at"),
}
"""`position` counts an attempt's steps (or scores) from 0, the steps of every kind together."""


def rows_of(run_id: str, attempt: Attempt) -> Iterator[tuple[str, Row]]:
    """The attempt's rows, each with its table's name. Times are nanoseconds since the Unix epoch, or seconds."""
    key = {"run_id": run_id, "case_id": attempt.case_id, "repeat": attempt.repeat}
    yield "attempts", key | _attempt(attempt)
    for position, step in enumerate(attempt.trace.steps):
        table, values = _step(step, attempt.wall_anchor_ns)
        yield table, key | {"position": position} | values
    for position, score in enumerate(attempt.scores):
        values = {"name": score.name, "value": score.value, "passed": score.passed, "reason": score.reason}
        yield "scores", key | {"position": position} | values


def label_row(run_id: str, label: Label) -> Row:
    """A label's row; `created_at` is ISO 8601 in UTC."""
    return {
        "run_id": run_id,
        "case_id": label.case_id,
        "repeat": label.repeat,
        "reviewer": label.reviewer,
        "passed": label.passed,
        "comment": label.comment,
        "created_at": label.created_at.isoformat(),
    }


def _attempt(attempt: Attempt) -> Row:
    failure, trace = attempt.failure, attempt.trace
    return {
        "cluster": attempt.cluster,
        "seed": attempt.seed,
        "tries": attempt.tries,
        "passed": attempt.passed,
        "failure_kind": failure and failure.kind,
        "failure_message": failure and failure.message,
        **_span(attempt.started_at, attempt.ended_at, attempt.wall_anchor_ns),
        "cold_start_s": None if trace.cold_start_ns is None else trace.cold_start_ns * NS,
        "model_calls": len(trace.model_calls),
        "tool_calls": len(trace.tool_calls),
        "output": trace.output,
        "end_state": trace.state,
    }


def _span(started_at: int, ended_at: int, anchor: int) -> Row:
    return {
        "started_at_ns": anchor + started_at,
        "ended_at_ns": anchor + ended_at,
        "duration_s": (ended_at - started_at) * NS,
    }


def _step(step: Step, anchor: int) -> tuple[str, Row]:
    if isinstance(step, ModelCall):
        return "model_calls", _model_call(step, anchor)
    span = _span(step.started_at, step.ended_at, anchor)
    if isinstance(step, ToolCall):
        values = {name: getattr(step, name) for name in ("call_id", "name", "arguments", "executed", "result", "error")}
        return "tool_calls", values | span
    return "user_turns", {"messages": step.messages, "state": step.state, **span}


def _model_call(call: ModelCall, anchor: int) -> Row:
    counts = ("prompt_tokens", "cached_tokens", "completion_tokens", "chunk_tokens", "silent_chunks")
    values = {name: getattr(call, name) for name in ("finish_reason", "error", *counts, "messages", "request", "reply")}
    times = {f"{name}_ns": anchor + getattr(call, name) for name in ("intended_at", "sent_at", "ended_at")}
    metrics = {f"{name}_s": None if call.error else measure(call) for name, measure in CALL_METRICS.items()}
    return values | times | metrics | {"chunk_at_ns": [anchor + at for at in call.chunk_at]}
