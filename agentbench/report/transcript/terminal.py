"""One attempt as a conversation: messages, tool calls, times, scores, failure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case, Message
from agentbench.core.trace import ModelCall, ToolCall, UserTurn
from agentbench.report import figures
from agentbench.report.run.case_outcomes import verdict_of
from agentbench.report.terminal_safe import line, plain
from agentbench.stats.calls import held_back_s, latency_s, tpot_s, ttft_s
from agentbench.stats.usage import Prices, call_cost, model_of

STYLES = {"system": "magenta", "user": "cyan", "assistant": "green", "tool": "yellow"}


def transcript(case: Case, attempt: Attempt, prices: Prices | None) -> RenderableType:
    """What happened, in order; a message that a later request repeats is shown once.

    Without prices it is for a reviewer, who is not told which model answered.
    """
    parts = [_heading(attempt), *_given(case, attempt)]
    before: ModelCall | None = None
    for step in attempt.trace.steps:
        if isinstance(step, ToolCall):
            parts += _tool_lines(step)
            continue
        if isinstance(step, UserTurn):
            continue  # the next request shows what was said
        for message in new_messages(step, before):
            parts += message_lines(message)
        parts += [*message_lines(step.reply), _timing(step, prices)]
        before = step
    return Group(*parts, *_ending(case, attempt))


def new_messages(call: ModelCall, before: ModelCall | None) -> Sequence[Message]:
    """The messages of a request that the one before did not have; tool results are shown with their calls."""
    if before is None:
        return call.messages
    known = len(before.messages)
    if call.messages[:known] != before.messages:
        return call.messages
    added = call.messages[known:]
    if added and added[0].get("role") == "assistant":
        added = added[1:]
    return [message for message in added if message.get("role") != "tool"]


def graded_answer(attempt: Attempt) -> str | None:
    """What the scorers read, where the last reply does not show it: without thoughts, or changed by the agent."""
    trace = attempt.trace
    if attempt.failure is not None and not trace.output:
        return None
    replied = trace.model_calls[-1].text if trace.model_calls else ""
    return None if trace.answer.strip() == replied.strip() else trace.answer


def _heading(attempt: Attempt) -> Text:
    verdict = verdict_of(attempt)
    style = {"right": "bold green", "wrong": "bold red", "waiting": "bold cyan"}.get(verdict, "bold magenta")
    took = figures.seconds((attempt.ended_at - attempt.started_at) * 1e-9)
    tries = f", try {attempt.tries}" if attempt.tries > 1 else ""
    details = f"  repeat {attempt.repeat}{tries}, seed {attempt.seed}, {took}"
    return Text.assemble((line(attempt.case_id), "bold"), "  ", (verdict, style), (details, "dim"))


def _given(case: Case, attempt: Attempt) -> list[Text]:
    """The case's own messages, for an attempt that never asked a model."""
    if attempt.trace.model_calls:
        return []
    return [text for message in case.messages for text in message_lines(message)]


def message_lines(message: Message) -> list[Text]:
    """A role and what it said, tool calls included."""
    role = str(message.get("role", "assistant"))
    lines = [Text(), Text(line(role), style=f"bold {STYLES.get(role, 'white')}")]
    if content := message.get("content"):
        lines.append(Text(plain(content if isinstance(content, str) else _json(content))))
    for call in message.get("tool_calls") or ():
        lines.append(_asked(call))
    return lines


def _asked(call: Any) -> Text:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return Text(f"→ {plain(_json(call))}")
    arguments = function.get("arguments", "")
    shown = arguments if isinstance(arguments, str) else _json(arguments)
    return Text.assemble("→ ", (line(str(function.get("name", ""))), "bold"), f"({line(shown)})")


def _tool_lines(call: ToolCall) -> list[Text]:
    took = figures.seconds((call.ended_at - call.started_at) * 1e-9)
    heading = Text.assemble(
        (f"tool {line(call.name)}", f"bold {STYLES['tool']}"),
        f"({line(_json(call.arguments))})  ",
        (took, "dim"),
    )
    return [Text(), heading, _tool_result(call)]


def _tool_result(call: ToolCall) -> Text:
    if call.error is not None:
        return Text(f"error: {plain(call.error)}", style="red")
    if not call.executed:
        return Text("declared only: not executed", style="dim")
    return Text(plain(call.result or ""))


def _timing(call: ModelCall, prices: Prices | None) -> Text:
    counted = f"{figures.count(call.prompt_tokens)} in, {figures.count(call.completion_tokens)} out"
    first = held_back_s(call)
    parts = [
        "" if prices is None else line(model_of(call)),
        f"TTFT {figures.seconds(ttft_s(call))}",
        f"first token {figures.seconds(first)}" if first is not None else "",
        f"TPOT {figures.seconds(tpot_s(call))}",
        f"latency {figures.seconds(latency_s(call))}",
        f"tokens {counted}",
        f"cost {figures.cost(call_cost(call, prices))}" if prices else "",
        line(call.finish_reason or ""),
    ]
    text = Text("  ".join(part for part in parts if part), style="dim")
    return text.append(f"\nerror: {plain(call.error)}", style="red") if call.error else text


def _ending(case: Case, attempt: Attempt) -> list[Text]:
    lines = [Text()]
    if (answer := graded_answer(attempt)) is not None:
        lines += [Text("graded answer", style="bold"), Text(plain(answer) or "(nothing)"), Text()]
    if case.expected is not None:
        lines.append(Text.assemble(("expected  ", "bold"), line(_json(case.expected))))
    if attempt.failure:
        lines.append(
            Text.assemble((f"failure: {attempt.failure.kind}  ", "bold magenta"), line(attempt.failure.message))
        )
        if attempt.failure.detail:
            lines.append(Text(plain(attempt.failure.detail), style="dim"))
    for score in attempt.scores:
        style = {True: "bold green", False: "bold red", None: "bold cyan"}[score.passed]
        lines.append(Text.assemble((f"{line(score.name)} {score.value:g}  ", style), plain(score.reason)))
    return lines


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
