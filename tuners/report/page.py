"""A study as one HTML file: its verdict, what the winner changes, its candidates, the cases that changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.trace import ToolCall
from agentbench.report import figures
from agentbench.report.html import Chart, Html, Page, block, figures_of, table, text
from agentbench.report.report import Report
from agentbench.report.traced_number import at, datum
from agentbench.stats.outcomes import AGENT_FAILURES
from agentbench.store import Store
from agentbench.suite.suite import load_suite
from tuners.report import charts as page_charts
from tuners.report.charts import parallel_chart
from tuners.report.terminal import verdict_lines
from tuners.report.view import StudyView, study_view
from tuners.report.words import COLUMNS, candidate_row, proposal_lines, written
from tuners.search.candidate import Candidate
from tuners.space.configuration import value_at
from tuners.space.space import Settings
from tuners.study.file import StudyFile
from tuners.verdict.verdict import Verdict

LEAST_FOR_CHARTS = 2

UNITS = {
    "goodput": "goodput: right answers per second that met the objectives",
    "output_tokens_per_s": "output tokens per second",
    "tokens": "tokens of an attempt",
    "cost": "cost of an attempt",
    **{name: f"{name}, seconds" for name in ("ttft_p50", "ttft_p95", "tpot_p50", "latency_p95")},
}


def study_report(store: Store, name: str, db: str | None) -> Report | None:
    """The report of the study of this name; None when there is none."""
    if store.studies.progress(name) is None:
        return None
    view = study_view(name, store)
    return Report(page=lambda: study_page(view, store), to_json=view.to_json)


def study_page(view: StudyView, store: Store) -> Page:
    charts = _charts(view)
    body = [
        _title(view),
        _lines("verdict", verdict_lines(view)),
        _diff(view),
        str(figures_of(charts)),
        _lines("verdict", proposal_lines(view.proposals)),
        _candidates(view),
        _changes(view.verdict, store),
    ]
    return Page(title=f"study {view.record.name}", body=Html("".join(body)), charts=charts)


def _title(view: StudyView) -> str:
    record = view.record
    begun = f"{record.created_at:%Y-%m-%d %H:%M} UTC"
    facts = text(f"suite {record.suite} · {record.status} · {view.headline} · {begun}")
    return f'<h1>study {text(record.name)}</h1><p class="sub">{facts}</p>'


def _lines(kind: str, lines: Sequence[Text]) -> str:
    return f'<div class="{kind}">{"".join(map(_said, lines))}</div>' if lines else ""


def _said(line: Text) -> str:
    """A line of the verdict; its heading is bold, what belongs to the line before it stands in."""
    head = next((line.plain[: span.end] for span in line.spans if span.style == "bold"), "")
    kind = "note" if line.plain.startswith("Note") else "more" if line.plain.startswith("  ") else ""
    lead = f"<b>{text(head)}</b> " if head.strip() else ""
    return f'<p class="{kind}">{lead}{text(line.plain[len(head) :])}</p>'


def _diff(view: StudyView) -> str:
    """What the winner changes of the baseline."""
    settings = view.verdict.settings if view.verdict else {}
    before = _before(view.file, settings)
    rows = "".join(
        f'<tr><th scope="row">{text(path)}</th><td class="text">{_value(before.get(path))}</td>'
        f'<td class="text">{_value(value)}</td></tr>'
        for path, value in settings.items()
        if before.get(path) != value
    )
    head = [("setting", "text"), ("baseline", "text"), ("winner", "text")]
    return f"<h2>What the winner changes</h2>{table(head, rows)}" if rows else ""


def _before(file: StudyFile, settings: Settings) -> dict[str, object]:
    """The baseline's values at these paths: the suite's own where it is still there and says nothing else."""
    try:
        suite = load_suite(file.suite)
        return {path: value_at(suite, file.baseline, path) for path in settings}
    except UserError:
        return {path: file.baseline[path] for path in settings if path in file.baseline}


def _value(value: Any) -> str:
    if isinstance(value, list | tuple) and value and all(isinstance(each, Mapping) for each in value):
        return "".join(f"<pre>{block(_exchange(each))}</pre>" for each in value)
    return f"<pre>{block(written(value))}</pre>"


def _exchange(demonstration: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {said}" for name, said in demonstration.items())


def _charts(view: StudyView) -> dict[str, Chart]:
    scored = [each for each in view.candidates if each.scores]
    if len(scored) < LEAST_FOR_CHARTS:
        return {}
    metric = next((name for name in view.file.objectives if name != "quality"), "goodput")
    unit = UNITS.get(metric, metric)
    found = {
        "front": page_charts.front_chart(scored, view.front, view.winner, metric, unit),
        "spending": page_charts.spending_chart(scored, view.ended, view.record.created_at),
    }
    paths = [path for path in view.file.space if any(path in each.settings for each in scored)]
    if paths:
        found["parallel"] = parallel_chart(scored, paths)
    if view.effects:
        found["effects"] = page_charts.effects_chart(view.effects)
    return found


NUMBERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "#": (("number",), "count"),
    "rung": (("rung",), "ordinal"),
    "quality": (("quality",), "percent"),
    "TTFT p95": (("figures", "ttft_p95"), "seconds"),
    "TPOT p50": (("figures", "tpot_p50"), "seconds"),
    "goodput/s": (("figures", "goodput"), "rate"),
    "runs": (("case_runs",), "count"),
    "s": (("seconds",), "whole"),
}
"""Of a column of numbers: where it stands in a candidate's JSON, and how it is written."""


def _candidates(view: StudyView) -> str:
    """All of them; a click on a heading sorts by it."""
    names = (*COLUMNS[:-1], "end")
    head = [(f'<button type="button">{text(name)}</button>', "" if name in NUMBERS else "text") for name in names]
    document = {"candidates": [each.to_json() for each in view.candidates]}
    places = {each.number: place for place, each in enumerate(view.candidates)}
    rows = "".join(
        _row(document, places[each.number], each, each.number in view.front, each.number == view.winner)
        for each in view.shown()
    )
    shown = table(head, rows, "sortable")
    return f'<section data-document="study" data-run="{text(view.record.name)}"><h2>Candidates</h2>{shown}</section>'


def _row(document: Mapping[str, Any], place: int, candidate: Candidate, on_front: bool, won: bool) -> str:
    *_, end = said = candidate_row(candidate)
    cells = [_cell(document, place, name, cell) for name, cell in zip(COLUMNS[:-1], said, strict=False)]
    reason = f"<br><small>{text(candidate.reason)}</small>" if candidate.reason else ""
    cells.append(f'<td class="text">{text(end + " ● front" * on_front + " ★ winner" * won)}{reason}</td>')
    return f'<tr class="{"front" if on_front else ""}">{"".join(cells)}</tr>'


def _cell(document: Mapping[str, Any], place: int, name: str, said: str) -> str:
    if name not in NUMBERS:
        return f'<td class="text">{text(said)}</td>'
    keys, form = NUMBERS[name]
    candidate = document["candidates"][place]
    if said == figures.NONE or keys[-1] not in at(candidate, keys[:-1]):
        return f'<td data-value="">{figures.NONE}</td>'
    path: tuple[str | int, ...] = ("candidates", place, *keys)
    return f'<td data-value="{at(document, path)}">{datum(document, path, form)}</td>'


SHOWN = 25
"""Cases told in full, each way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What an attempt came to: what was said, and each score with its reason."""

    verdict: str
    said: tuple[str, ...]
    scores: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A case that one run had right and the other wrong."""

    case_id: str
    question: str
    winner: Side
    baseline: Side


def changed_cases(store: Store, winner: str, baseline: str) -> tuple[list[Changed], list[Changed]]:
    """What the winner gained, and what it lost, by id; a case's first repeat stands for it."""
    a, b = _first(store, winner), _first(store, baseline)
    gained: list[Changed] = []
    lost: list[Changed] = []
    for case_id in sorted(a.keys() & b.keys()):
        (of_winner, case), (of_baseline, _) = a[case_id], b[case_id]
        if _left_out(of_winner) or _left_out(of_baseline):
            continue
        right, was_right = of_winner.passed is True, of_baseline.passed is True
        if right != was_right:
            found = Changed(
                case_id=case_id, question=_asked(case), winner=_side(of_winner), baseline=_side(of_baseline)
            )
            (gained if right else lost).append(found)
    return gained, lost


def _left_out(attempt: Attempt) -> bool:
    """Whether nothing can be said of it: the server, a tool or a scorer failed."""
    return attempt.failure is not None and attempt.failure.kind not in AGENT_FAILURES


def _first(store: Store, run_id: str) -> dict[str, tuple[Attempt, Case]]:
    return {attempt.case_id: (attempt, case) for attempt, case in store.whole_attempts(run_id) if attempt.repeat == 0}


def _asked(case: Case) -> str:
    return "\n".join(str(message.get("content") or "") for message in case.messages)


def _side(attempt: Attempt) -> Side:
    said = tuple(filter(None, (call.text for call in attempt.trace.model_calls)))
    tools = tuple(_called(step) for step in attempt.trace.steps if isinstance(step, ToolCall))
    failed = (f"{attempt.failure.kind}: {attempt.failure.message}",) if attempt.failure else ()
    return Side(
        verdict="failed" if attempt.failure else "right" if attempt.passed else "wrong",
        said=(*said, *tools, *failed),
        scores=tuple(f"{score.name} {score.value:g}: {score.reason}" for score in attempt.scores),
    )


def _called(call: ToolCall) -> str:
    arguments = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    result = f" → {call.result}" if call.result is not None else f" → error: {call.error}" if call.error else ""
    return f"{call.name}({arguments}){result}"


def _changes(verdict: Verdict | None, store: Store) -> str:
    if verdict is None or not verdict.runs:
        return ""
    gained, lost = changed_cases(store, verdict.runs["winner"], verdict.runs["baseline"])
    parts = ["<h2>Cases that changed on test</h2>"]
    for name, found in (("Newly right", gained), ("Newly wrong", lost)):
        left = f" ({SHOWN} of them shown)" if len(found) > SHOWN else ""
        parts.append(f"<h3>{name}: {len(found)}{left}</h3>")
        parts += [_case(each) for each in found[:SHOWN]]
    return "".join(parts)


def _case(changed: Changed) -> str:
    sides = "".join(
        _shown_side(name, side) for name, side in (("winner", changed.winner), ("baseline", changed.baseline))
    )
    asked = f"<pre>{block(changed.question)}</pre>" if changed.question else ""
    return (
        f"<details><summary><code>{text(changed.case_id)}</code> {text(changed.question[:120])}</summary>"
        f'{asked}<div class="sides">{sides}</div></details>'
    )


def _shown_side(name: str, side: Side) -> str:
    verdict = f'<span class="mark {"good" if side.verdict == "right" else "bad"}">{side.verdict}</span>'
    said = "".join(f"<pre>{block(each, 2000)}</pre>" for each in side.said) or "<p>nothing said</p>"
    scores = "".join(f"<p><small>{text(each[:600])}</small></p>" for each in side.scores)
    return f"<div><p>{name}: {verdict}</p>{said}{scores}</div>"
