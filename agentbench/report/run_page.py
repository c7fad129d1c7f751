"""A run as one HTML file: its figures, its latencies, what its attempts did, the cases that it did not have right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentbench.case import Case, Message
from agentbench.report.chart_page import Chart, chart_page, figures_of, table
from agentbench.report.html_file import block, text
from agentbench.report.outcomes import CaseOutcome, verdict_of
from agentbench.report.run_charts import SHOWN, began, latency_charts, timeline_chart
from agentbench.report.run_view import RunView, view_of
from agentbench.report.terminal import run_rows
from agentbench.report.transcript import new_messages
from agentbench.run import Run
from agentbench.score import Attempt
from agentbench.stats import Outcome
from agentbench.stats.outcomes import outcome_of
from agentbench.store import Store
from agentbench.trace import ModelCall, ToolCall

TOLD = 60
"""Attempts told in full, those that were not right first."""

LONGEST = 2500
"""Of a message, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """All that the page shows. `told` are the attempts told in full with their cases, `first` those of the timeline."""

    view: RunView
    outcomes: Sequence[Outcome]
    told: Sequence[tuple[Attempt, Case]]
    first: Sequence[Attempt]


def run_page(page: RunPage) -> str:
    """The whole file. `UserError` when Plotly is not installed."""
    charts: dict[str, Chart] = dict(latency_charts(page.outcomes))
    if (timeline := timeline_chart(page.first)) is not None:
        charts["timeline"] = timeline
    run = page.view.run
    title = f"{run.suite} · {page.view.title}"
    body = [
        f'<h1>{text(title)}</h1><p class="sub">{text(run.id)} · {text(run.status)}</p>',
        _figures(page.view),
        figures_of(charts),
        _cases(page.view.outcomes),
        _attempts(page),
    ]
    return chart_page(title, body, charts)


def _figures(view: RunView) -> str:
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td><td class="text">{text(remark)}</td></tr>'
        for name, value, remark in run_rows(view)
    )
    return table([("metric", ""), ("value", ""), ("", "text")], rows)


def _cases(outcomes: Sequence[CaseOutcome]) -> str:
    rows = "".join(
        f'<tr><td class="text">{text(each.case_id)}</td><td class="{_tone(each.outcome)}">{each.outcome}</td>'
        f"<td>{each.right}</td><td>{each.wrong}</td><td>{each.failed}</td></tr>"
        for each in outcomes
    )
    names = (("case", "text"), ("outcome", ""), ("right", ""), ("wrong", ""), ("failed", ""))
    head = [(f'<button type="button">{name}</button>', css) for name, css in names]
    return f"<h2>Cases</h2><details><summary>{len(outcomes)} cases</summary>{table(head, rows, 'sortable')}</details>"


def _tone(verdict: str) -> str:
    return {"right": "good", "wrong": "bad", "failed": "bad"}.get(verdict, "")


def _attempts(page: RunPage) -> str:
    if not page.told:
        return ""
    return "<h2>Attempts</h2>" + "".join(_attempt(attempt, case) for attempt, case in page.told)


def _attempt(attempt: Attempt, case: Case) -> str:
    verdict = verdict_of(attempt)
    asked = next((str(each.get("content") or "") for each in case.messages if each.get("role") == "user"), "")
    steps = "".join(_steps(attempt))
    scores = "".join(
        f"<p><small>{text(score.name)} {score.value:g}: {text(score.reason[:600])}</small></p>"
        for score in attempt.scores
    )
    mark = f'<span class="mark {_tone(verdict)}">{verdict}</span>'
    head = f"{mark} <code>{text(attempt.case_id)}</code> {text(asked[:120])}"
    return f"<details><summary>{head}</summary>{steps}{_failed(attempt)}{scores}</details>"


def _failed(attempt: Attempt) -> str:
    if attempt.failure is None:
        return ""
    return f'<p class="bad">{text(attempt.failure.kind)}: {text(attempt.failure.message[:600])}</p>'


def _steps(attempt: Attempt) -> Iterator[str]:
    """What happened, in order; a message that a later request repeats is told once."""
    before: ModelCall | None = None
    for step in attempt.trace.steps:
        if isinstance(step, ToolCall):
            yield _tool(step)
        elif isinstance(step, ModelCall):
            yield from (_message(each) for each in (*new_messages(step, before), step.reply))
            before = step


def _message(message: Message) -> str:
    said = message.get("content") or message.get("tool_calls") or ""
    return f"<p>{text(message.get('role', 'assistant'))}</p><pre>{block(said, LONGEST)}</pre>"


def _tool(call: ToolCall) -> str:
    said = call.result if call.result is not None else f"error: {call.error}" if call.error else "declared only"
    arguments = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return f"<p>tool {text(call.name)}</p><pre>{block(f'({arguments})', LONGEST)}\n{block(said, LONGEST)}</pre>"


def page_of(store: Store, run: Run) -> RunPage:
    """What the store has of a run; of many attempts those that were not right are told first."""
    outcomes = [outcome_of(attempt) for attempt in store.measured_attempts(run.id)]
    told: list[tuple[Attempt, Case]] = []
    right: list[tuple[Attempt, Case]] = []
    first: list[Attempt] = []
    for attempt, case in store.whole_attempts(run.id):
        first = sorted((*first, attempt), key=began)[:SHOWN]
        chosen = right if attempt.passed else told
        if len(chosen) < TOLD:
            chosen.append((attempt, case))
    view = view_of(run, outcomes, store.first_request(run.id))
    return RunPage(view=view, outcomes=outcomes, told=[*told, *right][:TOLD], first=first)
