"""An attempt on the terminal: the conversation with the times of each answer, then the failure and the scores."""

import json
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.report import figures
from agentbench.report.run.case_outcomes import verdict_of
from agentbench.report.terminal_safe import line, plain
from agentbench.report.transcript.view import Part, conversation
from agentbench.stats.usage import Prices

STYLES = {"system": "magenta", "user": "cyan", "assistant": "green", "tool": "yellow"}


def transcript(case: Case, attempt: Attempt, prices: Prices | None) -> RenderableType:
    """The conversation in order. A message that later requests repeat is shown once.

    Without prices the transcript is for a reviewer: it hides the model's name.
    """
    parts = [text for part in conversation(case, attempt, prices or {}) for text in _part_lines(part, prices)]
    return Group(_heading(attempt), *parts, *_result(case, attempt))


def _heading(attempt: Attempt) -> Text:
    verdict = verdict_of(attempt)
    style = {"right": "bold green", "wrong": "bold red", "waiting": "bold cyan"}.get(verdict, "bold magenta")
    duration = figures.seconds((attempt.ended_at - attempt.started_at) * 1e-9)
    tries = f", try {attempt.tries}" if attempt.tries > 1 else ""
    details = f"  repeat {attempt.repeat}{tries}, seed {attempt.seed}, {duration}"
    return Text.assemble((line(attempt.case_id), "bold"), "  ", (verdict, style), (details, "dim"))


def _part_lines(part: Part, prices: Prices | None) -> Iterator[Text]:
    yield Text()
    if part.kind == "tool":
        yield from _tool_lines(part)
    elif part.kind == "graded":
        yield Text(part.role, style="bold")
        yield Text(plain(part.text) or f"({part.note})")
    else:
        yield from _message_lines(part)
    if part.kind == "answer":
        yield _timing(part, prices)


def _message_lines(part: Part) -> Iterator[Text]:
    """The role, the text and the tool calls of a message."""
    yield Text(line(part.role), style=f"bold {STYLES.get(part.role, 'white')}")
    if part.text:
        yield Text(plain(part.text))
    for name, arguments in part.calls:
        yield Text.assemble("→ ", (line(name), "bold"), f"({line(arguments)})")


def _tool_lines(part: Part) -> Iterator[Text]:
    name, arguments = part.calls[0]
    heading = (f"tool {line(name)}", f"bold {STYLES['tool']}")
    yield Text.assemble(heading, f"({line(arguments)})  ", (figures.seconds(part.figures["seconds"]), "dim"))
    if part.error:
        yield Text(f"error: {plain(part.error)}", style="red")
    elif part.note:
        yield Text(part.note, style="dim")
    else:
        yield Text(plain(part.text))


def _timing(part: Part, prices: Prices | None) -> Text:
    found = part.figures
    first = found["first_token_s"]
    parts = [
        "" if prices is None else line(part.model),
        f"TTFT {figures.seconds(found['ttft_s'])}",
        f"first token {figures.seconds(first)}" if first is not None else "",
        f"TPOT {figures.seconds(found['tpot_s'])}",
        f"latency {figures.seconds(found['latency_s'])}",
        f"tokens {figures.count(found['prompt_tokens'])} in, {figures.count(found['completion_tokens'])} out",
        f"cost {figures.cost(found['cost'])}" if prices else "",
        line(part.note),
    ]
    text = Text("  ".join(each for each in parts if each), style="dim")
    return text.append(f"\nerror: {plain(part.error)}", style="red") if part.error else text


def _result(case: Case, attempt: Attempt) -> list[Text]:
    """The expected value, the failure and the scores."""
    lines = [Text()]
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
