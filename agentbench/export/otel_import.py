"""Imports traces of other programs, in OpenTelemetry's GenAI conventions, as a run.

Each trace is an attempt: its `chat` spans are model calls, its `execute_tool` spans tool calls, and its
`gen_ai.evaluation.result` events scores. An attempt without a score is left undecided, for a person to review.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentbench.core.attempt import Attempt, Score, verdict
from agentbench.core.case import Case, Message
from agentbench.core.errors import UserError
from agentbench.core.run import Run
from agentbench.core.trace import Failure, ModelCall, ToolCall, Trace
from agentbench.export.otlp import Span, bytes_of, messages_of, spans_of
from agentbench.openai_stream import token_count
from agentbench.store import AlreadyStored, Store

CHAT = ("chat", "generate_content", "text_completion")
Scales = Mapping[str, tuple[float, float]]
HUMAN = Score(name="human", value=0.0, passed=None, reason="waits for review")


def import_traces(
    path: Path, store: Store, suite: str | None = None, scales: Scales | None = None
) -> tuple[Run, Mapping[str, int], bool]:
    """Stores the traces of a file (OTLP JSON, one request or one a line, optionally gzip) as one run.

    `scales` maps score names to their least and greatest value, for scores that are not from 0 to 1; a score outside
    its scale is refused. Returns the run, its number of attempts, and whether it is new: the same traces give the same
    run. `UserError` when the file is invalid, or has no span of a model call, a tool or an agent.
    """
    data = bytes_of(path)
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in _without_duplicates(spans_of(path, data)):
        traces[span.trace].append(span)
    agent_traces = {trace: spans for trace, spans in traces.items() if any(map(_is_agent_span, spans))}
    if not agent_traces:
        raise UserError(
            f"{path}: {len(traces)} traces, none with a span of the GenAI conventions (gen_ai.operation.name)"
        )
    try:
        ordered = sorted(agent_traces.values(), key=lambda spans: min(span.begin for span in spans))
        pairs = list(_attempts(ordered, path, scales or {}))
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path}: an attribute does not follow the GenAI conventions: {error}") from None
    run = _run(path, data, next(iter(agent_traces.values()))[0].resource, suite, pairs)
    try:
        store.import_run(run, pairs)
    except AlreadyStored:
        return run, {"attempts": len(pairs)}, False
    return run, {"attempts": len(pairs)}, True


def _without_duplicates(spans: Iterable[Span]) -> Iterator[Span]:
    """The spans without duplicates, which an exporter sends when it retries."""
    seen: set[tuple[str, str]] = set()
    for span in spans:
        if not span.id or (span.trace, span.id) not in seen:
            seen.add((span.trace, span.id))
            yield span


def _requests(spans: Sequence[Span]) -> list[Span]:
    """The spans without model calls that contain another one: a client's span and its library's span are the same
    request.
    """
    by_id = {span.id: span for span in spans if span.id}
    around: set[str] = set()
    for span in spans:
        seen: set[str] = set()
        parent = by_id.get(span.parent) if span.operation in CHAT else None
        while parent is not None and parent.id not in seen:
            seen.add(parent.id)
            around |= {parent.id} if parent.operation in CHAT else set()
            parent = by_id.get(parent.parent)
    return [span for span in spans if span.id not in around]


def _is_agent_span(span: Span) -> bool:
    return span.operation in (*CHAT, "execute_tool", "invoke_agent")


def _attempts(traces: Iterable[list[Span]], path: Path, scales: Scales) -> Iterator[tuple[Attempt, Case]]:
    repeats: dict[str, int] = defaultdict(int)
    for spans in traces:
        ordered = sorted(spans, key=lambda span: span.begin)
        case = _case(ordered)
        yield _attempt(ordered, case, repeats[case.id], path, scales), case
        repeats[case.id] += 1


def _case(spans: Sequence[Span]) -> Case:
    """The case. Its id is agentbench's own attribute, otherwise the trace id; its messages are those of the first model
    call.
    """
    own = next((span.attributes for span in spans if "agentbench.case.id" in span.attributes), {})
    messages = next((found for span in spans if (found := _messages(span, "gen_ai.input.messages"))), [])
    expected = own.get("agentbench.case.expected")
    return Case(
        id=str(own.get("agentbench.case.id") or spans[0].trace),
        cluster=str(own.get("agentbench.case.cluster") or ""),
        messages=tuple(messages),
        expected=None if expected is None else json.loads(expected),
    )


def _messages(span: Span, name: str) -> list[Message]:
    value = span.attributes.get(name)
    try:
        return [] if value is None else messages_of(value)
    except ValueError:
        return [{"role": "user", "content": str(value)}]


def _attempt(spans: Sequence[Span], case: Case, repeat: int, path: Path, scales: Scales) -> Attempt:
    root = next((span for span in spans if span.operation == "invoke_agent"), None)
    steps = tuple(step for span in _requests(spans) if (step := _step(span)) is not None)
    failure = _failure(root)
    scores = () if failure else tuple(_scores(spans, path, scales)) or (HUMAN,)
    return Attempt(
        case_id=case.id,
        cluster=case.cluster,
        repeat=repeat,
        seed=0,
        tries=1,
        started_at=min(span.begin for span in spans),
        ended_at=max(span.end for span in spans),
        wall_anchor_ns=0,
        trace=Trace(steps=steps, output=_output(root, steps)),
        failure=failure,
        scores=scores,
        passed=None if failure else verdict(scores, [score.name for score in scores]),
    )


def _step(span: Span) -> ModelCall | ToolCall | None:
    if span.operation in CHAT:
        return _model_call(span)
    return _tool_call(span) if span.operation == "execute_tool" else None


def _model_call(span: Span) -> ModelCall:
    attributes = span.attributes
    replies = _messages(span, "gen_ai.output.messages")
    reasons = attributes.get("gen_ai.response.finish_reasons") or [None]
    request = {
        name.removeprefix("gen_ai.request."): v for name, v in attributes.items() if name.startswith("gen_ai.request.")
    }
    instructions = [
        {"role": "system", "content": part.get("content")}
        for part in _parts(attributes.get("gen_ai.system_instructions"))
        if isinstance(part, Mapping)
    ]
    return ModelCall(
        messages=(*instructions, *_messages(span, "gen_ai.input.messages")),
        request=request,
        reply=replies[-1] if replies else {"role": "assistant", "content": ""},
        finish_reason=str(reasons[0]) if reasons[0] is not None else None,
        intended_at=span.begin,
        sent_at=span.begin,
        ended_at=span.end,
        chunk_at=_chunks(span),
        chunk_tokens=tuple(token_count(each) or 0 for each in attributes.get("agentbench.chunk_tokens") or ()),
        silent_chunks=_count(attributes, "agentbench.silent_chunks") or 0,
        prompt_tokens=_count(attributes, "gen_ai.usage.input_tokens"),
        cached_tokens=_count(attributes, "gen_ai.usage.cache_read.input_tokens"),
        completion_tokens=_count(attributes, "gen_ai.usage.output_tokens"),
        error=span.error,
    )


def _chunks(span: Span) -> tuple[int, ...]:
    """The chunk times: all of them in a trace by agentbench, otherwise the first chunk and the end of the answer. Empty
    when the first chunk's time is unknown.
    """
    own = span.attributes.get("agentbench.chunk_at")
    if own:
        return tuple(map(int, own))
    first = span.attributes.get("gen_ai.response.time_to_first_chunk")
    return () if first is None else (span.begin + round(float(first) * 1e9), span.end)


def _count(attributes: Mapping[str, Any], name: str) -> int | None:
    value = attributes.get(name)
    return None if value is None else token_count(int(value))


def _tool_call(span: Span) -> ToolCall:
    attributes = span.attributes
    arguments = attributes.get("gen_ai.tool.call.arguments")
    result = attributes.get("gen_ai.tool.call.result")
    return ToolCall(
        call_id=str(attributes.get("gen_ai.tool.call.id") or ""),
        name=str(attributes.get("gen_ai.tool.name") or span.name.removeprefix("execute_tool ")),
        arguments=_object(arguments),
        started_at=span.begin,
        ended_at=span.end,
        executed=bool(attributes.get("agentbench.tool.executed", True)),
        result=result if isinstance(result, str) or result is None else json.dumps(result, ensure_ascii=False),
        error=span.error,
    )


def _object(value: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {"arguments": value}
    return found if isinstance(found, Mapping) else {} if found is None else {"arguments": found}


def _parts(value: Any) -> Sequence[Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return [{"content": value}]
    return found if isinstance(found, list) else []


def _failure(root: Span | None) -> Failure | None:
    if root is None or root.error is None:
        return None
    kind = root.attributes.get("agentbench.failure")
    kinds = ("infra", "timeout", "agent", "tool", "grader", "budget")
    name = next((each for each in kinds if each == kind), "agent")
    return Failure(kind=name, message=root.error.removeprefix(f"{name}: "))  # type: ignore[arg-type]  # one of `kinds`


def _scores(spans: Sequence[Span], path: Path, scales: Scales) -> Iterator[Score]:
    for span in spans:
        for name, attributes in span.events:
            if name == "gen_ai.evaluation.result":
                yield _score(attributes, path, scales)


def _score(attributes: Mapping[str, Any], path: Path, scales: Scales) -> Score:
    label, value = (
        str(attributes.get("gen_ai.evaluation.score.label", "")).lower(),
        attributes.get("gen_ai.evaluation.score.value"),
    )
    passed = {"pass": True, "passed": True, "true": True, "fail": False, "failed": False, "false": False}.get(label)
    name = str(attributes.get("gen_ai.evaluation.name") or "evaluation")
    number = float(value) if value is not None else float(passed or 0)
    low, high = scales.get(name, (0.0, 1.0))
    if not low <= number <= high:
        raise UserError(
            f"{path}: score {name!r} is {number:g}, outside {low:g} to {high:g};"
            f" give its scale: agentbench import {path} --scale {name}=LOW:HIGH"
        )
    return Score(
        name=name,
        value=(number - low) / (high - low),
        passed=passed,
        reason=str(attributes.get("gen_ai.evaluation.explanation") or ""),
    )


def _output(root: Span | None, steps: Sequence[ModelCall | ToolCall]) -> str:
    messages = _messages(root, "gen_ai.output.messages") if root else []
    if messages:
        return str(messages[-1].get("content") or "")
    calls = [step for step in steps if isinstance(step, ModelCall)]
    return calls[-1].text if calls else ""


def _run(
    path: Path, data: bytes, resource: Mapping[str, Any], suite: str | None, pairs: Sequence[tuple[Attempt, Case]]
) -> Run:
    digest = hashlib.sha256(data).hexdigest()
    begin = datetime.fromtimestamp(min(attempt.started_at for attempt, _ in pairs) / 1e9, UTC)
    end = datetime.fromtimestamp(max(attempt.ended_at for attempt, _ in pairs) / 1e9, UTC)
    name = suite or str(resource.get("agentbench.suite") or resource.get("service.name") or "traces")
    calls = [call for attempt, _ in pairs for call in attempt.trace.model_calls]
    model = next((str(call.request["model"]) for call in calls if "model" in call.request), "")
    config = {"agent": {"name": "imported"}, "serving": {"server": "", "model": model}, "backend": {"name": "otlp"}}
    scorers = sorted({score.name for attempt, _ in pairs for score in attempt.scores})
    return Run(
        id=f"otlp-{begin:%Y%m%d-%H%M%S}-{digest[:6]}",
        suite=name,
        suite_version="",
        suite_path="",
        suite_hash=digest,
        config=config,
        config_hash=hashlib.sha256(
            json.dumps([config, dict(resource)], sort_keys=True, default=str).encode()
        ).hexdigest(),
        case_ids=tuple(dict.fromkeys(case.id for _, case in pairs)),
        repeats=max(attempt.repeat for attempt, _ in pairs) + 1,
        label=path.name,
        environment={"imported": str(path.name), "resource": dict(resource), "passed_by": scorers},
        status="finished",
        created_at=begin,
        finished_at=end,
    )
