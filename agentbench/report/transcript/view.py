"""An attempt for display: its messages, answers and tool calls in order with their times; and the same as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case, Message
from agentbench.core.trace import ModelCall, Step, ToolCall, UserTurn
from agentbench.report.run.case_outcomes import Verdict, verdict_of
from agentbench.stats.calls import CALL_METRICS, held_back_s, latency_s, tpot_s, ttft_s
from agentbench.stats.outcomes import outcome_of
from agentbench.stats.usage import Prices, call_cost, cost_of, model_of

NS = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a conversation: a message, an answer of the model, a tool call, or the graded answer, where the
    model's last answer differs from it.

    `call` is the index of an answer or tool call among the attempt's steps, -1 for other parts. `calls` are the tool
    calls of a message: name and arguments. `figures` are the seconds, tokens and cost of an answer, and the seconds of
    a tool call. `model` is the model that answered.
    """

    kind: Literal["message", "answer", "tool", "graded"]
    role: str
    text: str
    call: int = -1
    calls: tuple[tuple[str, str], ...] = ()
    figures: Mapping[str, float | int | None] = field(default_factory=dict)
    error: str = ""
    note: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """`document` is the output of `agentbench show RUN --case CASE --json`. `question` is the first user message."""

    attempt: Attempt
    case: Case
    verdict: Verdict
    question: str
    document: Mapping[str, Any]
    parts: Sequence[Part]


def attempt_view(attempt: Attempt, case: Case, prices: Prices) -> AttemptView:
    return AttemptView(
        attempt=attempt,
        case=case,
        verdict=verdict_of(attempt),
        question=_question(case),
        document=attempt_json(case, attempt, prices),
        parts=tuple(conversation(case, attempt, prices)),
    )


def _question(case: Case) -> str:
    return next((message_text(message) for message in case.messages if message.get("role") == "user"), "")


def conversation(case: Case, attempt: Attempt, prices: Prices) -> Iterator[Part]:
    """The parts of the conversation in order. A message that later requests repeat occurs once."""
    if not attempt.trace.model_calls:
        yield from map(_message, case.messages)
    before: ModelCall | None = None
    for place, step in enumerate(attempt.trace.steps):
        if isinstance(step, ToolCall):
            yield _tool(step, place)
        elif not isinstance(step, UserTurn):  # the next request contains the user's message
            yield from map(_message, _new_messages(step, before))
            yield _answer(step, place, prices)
            before = step
    if (answer := _graded_answer(attempt)) is not None:
        yield Part(kind="graded", role="graded answer", text=answer, note="" if answer.strip() else "nothing")


def _new_messages(call: ModelCall, before: ModelCall | None) -> Sequence[Message]:
    """The messages that the previous request did not have, without tool results: those are shown with their calls."""
    if before is None:
        return call.messages
    repeated = len(before.messages)
    if call.messages[:repeated] != before.messages:
        return call.messages
    added = call.messages[repeated:]
    if added and added[0].get("role") == "assistant":
        added = added[1:]
    return [message for message in added if message.get("role") != "tool"]


def _graded_answer(attempt: Attempt) -> str | None:
    """The text that the scorers read, if it differs from the last reply: without thoughts, or changed by the agent."""
    trace = attempt.trace
    if attempt.failure is not None and not trace.output:
        return None
    replied = trace.model_calls[-1].text if trace.model_calls else ""
    return None if trace.answer.strip() == replied.strip() else trace.answer


def _message(message: Message) -> Part:
    return Part(
        kind="message", role=str(message.get("role", "")), text=message_text(message), calls=_tool_calls(message)
    )


def _answer(call: ModelCall, place: int, prices: Prices) -> Part:
    return Part(
        kind="answer",
        role=str(call.reply.get("role") or "assistant"),
        text=message_text(call.reply),
        call=place,
        calls=_tool_calls(call.reply),
        figures={
            "ttft_s": ttft_s(call),
            "first_token_s": held_back_s(call),
            "tpot_s": tpot_s(call),
            "latency_s": latency_s(call),
            "prompt_tokens": call.prompt_tokens,
            "cached_tokens": call.cached_tokens,
            "completion_tokens": call.completion_tokens,
            "cost": call_cost(call, prices),
        },
        error=call.error or "",
        note=call.finish_reason or "",
        model=model_of(call),
    )


def _tool(call: ToolCall, place: int) -> Part:
    return Part(
        kind="tool",
        role="tool",
        text=call.result or "",
        call=place,
        calls=((call.name, _json(call.arguments)),),
        figures={"seconds": (call.ended_at - call.started_at) * NS},
        error=call.error or "",
        note="" if call.executed else "declared only: not executed",
    )


def message_text(message: Message) -> str:
    """The text of a message; other content as JSON."""
    content = message.get("content")
    return content if isinstance(content, str) else "" if content is None else _json(content)


def _tool_calls(message: Message) -> tuple[tuple[str, str], ...]:
    """Name and arguments of each tool call. A malformed call has an empty name, and all of it as its arguments."""
    found = []
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        fields = function if isinstance(function, Mapping) else {"name": "", "arguments": call}
        arguments = fields.get("arguments", "")
        found.append((str(fields.get("name", "")), arguments if isinstance(arguments, str) else _json(arguments)))
    return tuple(found)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def attempt_json(case: Case, attempt: Attempt, prices: Prices) -> dict[str, Any]:
    """`case`, `attempt` and its `figures`. Each model call has its raw times (`*_at`, ns), its model and cost, and its
    metrics (`ttft_s`, `tpot_s`, `latency_s` …)."""
    stored = asdict(attempt)
    stored["trace"]["steps"] = [_step(step, prices) for step in attempt.trace.steps]
    return {"case": asdict(case), "attempt": stored, "figures": attempt_figures(attempt, prices)}


def attempt_figures(attempt: Attempt, prices: Prices) -> dict[str, float | int | None]:
    """The attempt's times, tokens and cost: `agent_s` excludes a simulated user's turns, `ttft_s` is that of the first
    answered call, tokens and cost are sums over all calls. `uncounted_prompts`, `uncounted_completions` and
    `cost_unknown_calls` count the calls that are missing from a sum."""
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
