"""A study as one HTML page: its verdict, the winner's changes, its candidates, and the cases that changed on test."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.report import figures
from agentbench.report.compare.page import ChangedAttempt, ChangedCase
from agentbench.report.html import Chart, Html, Page, chart_places, lookup, render
from agentbench.report.report import Report
from agentbench.report.transcript.view import attempt_view
from agentbench.stats.outcomes import AGENT_FAILURES
from agentbench.store import Store
from agentbench.suite.suite import load_suite
from tuners.report import charts as page_charts
from tuners.report.charts import parallel_chart
from tuners.report.terminal import verdict_lines
from tuners.report.view import StudyView, study_view
from tuners.report.words import COLUMNS, candidate_row, proposal_lines, value_text
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
    record, charts = view.record, _charts(view)
    document = {"candidates": [each.to_json() for each in view.candidates]}
    begun = f"{record.created_at:%Y-%m-%d %H:%M} UTC"
    body = render(
        "study.html",
        package="tuners.report",
        study=record.name,
        facts=f"suite {record.suite} · {record.status} · {view.headline} · {begun}",
        verdict=list(map(_line_parts, verdict_lines(view))),
        changes=_changes(view),
        charts=chart_places(charts),
        proposals=list(map(_line_parts, proposal_lines(view.proposals))),
        document=document,
        heads=[(name, name in NUMBERS) for name in (*COLUMNS[:-1], "end")],
        candidates=_rows(view, document),
        cases=_cases(view.verdict, store),
    )
    return Page(title=f"study {record.name}", body=Html(body), charts=charts)


def _line_parts(line: Text) -> dict[str, str]:
    """A line for the template: its bold heading, the rest, and its kind (a note, or `more` for an indented line)."""
    head = next((line.plain[: span.end] for span in line.spans if span.style == "bold"), "")
    kind = "note" if line.plain.startswith("Note") else "more" if line.plain.startswith("  ") else ""
    return {"kind": kind, "head": head, "rest": line.plain[len(head) :]}


def _changes(view: StudyView) -> list[tuple[str, list[str], list[str]]]:
    """The winner's changes to the baseline: the path, and the text blocks of its value before and after."""
    settings = view.verdict.settings if view.verdict else {}
    before = _before(view.file, settings)
    return [
        (path, _blocks(before.get(path)), _blocks(value))
        for path, value in settings.items()
        if before.get(path) != value
    ]


def _before(file: StudyFile, settings: Settings) -> dict[str, object]:
    """The baseline's values at these paths, with the suite's own as default, if the suite still exists."""
    try:
        suite = load_suite(file.suite)
        return {path: value_at(suite, file.baseline, path) for path in settings}
    except UserError:
        return {path: file.baseline[path] for path in settings if path in file.baseline}


def _blocks(value: Any) -> list[str]:
    if isinstance(value, list | tuple) and value and all(isinstance(each, Mapping) for each in value):
        return [_exchange(each) for each in value]
    return [value_text(value)]


def _exchange(demonstration: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {text}" for name, text in demonstration.items())


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
    "s": (("seconds",), "integer"),
}
"""Each column of numbers: its path in a candidate's JSON, and its number format."""


def _rows(view: StudyView, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table's rows, one for each candidate."""
    places = {each.number: place for place, each in enumerate(view.candidates)}
    return [
        _row(document, places[each.number], each, each.number in view.front, each.number == view.winner)
        for each in view.shown()
    ]


def _row(document: Mapping[str, Any], place: int, candidate: Candidate, on_front: bool, won: bool) -> dict[str, Any]:
    *_, end = texts = candidate_row(candidate)
    return {
        "front": on_front,
        "cells": [_cell(document, place, name, text) for name, text in zip(COLUMNS[:-1], texts, strict=False)],
        "end": end + " ● front" * on_front + " ★ winner" * won,
        "reason": candidate.reason,
    }


def _cell(document: Mapping[str, Any], place: int, name: str, text: str) -> dict[str, Any]:
    """A cell of text, or of a number: its path in the document and its format; `path` is None when it is missing."""
    if name not in NUMBERS:
        return {"text": text}
    keys, form = NUMBERS[name]
    candidate = document["candidates"][place]
    present = text != figures.NONE and keys[-1] in lookup(candidate, keys[:-1])
    return {"text": None, "path": ["candidates", place, *keys] if present else None, "form": form}


SHOWN = 25
"""Most cases shown in full that are newly right, and as many that are newly wrong."""

Attempts = Mapping[str, tuple[Attempt, Case]]
"""A case's id to the attempt of its first repeat, with the case."""


def _cases(verdict: Verdict | None, store: Store) -> list[tuple[str, list[ChangedCase], int]]:
    """The test cases that the winner gained, and those that it lost: a title, the first of them, and their number."""
    if verdict is None or not verdict.runs:
        return []
    runs = {name: store.get_run(verdict.runs[name]) for name in ("winner", "baseline")}
    attempts = {name: _first(store, run.id) for name, run in runs.items()}
    gained, lost = changed_cases(attempts["winner"], attempts["baseline"])

    def shown(case_id: str) -> ChangedCase:
        views = {name: attempt_view(*attempts[name][case_id], run.prices) for name, run in runs.items()}
        compared = [ChangedAttempt(letter=name, run=runs[name].id, view=view) for name, view in views.items()]
        return ChangedCase(case_id=case_id, question=views["winner"].question, attempts=compared)

    found = (("Newly right", gained), ("Newly wrong", lost))
    return [(title, [shown(case_id) for case_id in ids[:SHOWN]], len(ids)) for title, ids in found]


def changed_cases(winner: Attempts, baseline: Attempts) -> tuple[list[str], list[str]]:
    """The ids of the cases that only the winner has right, and of those that only the baseline has right."""
    gained: list[str] = []
    lost: list[str] = []
    for case_id in sorted(winner.keys() & baseline.keys()):
        (of_winner, _), (of_baseline, _) = winner[case_id], baseline[case_id]
        if _left_out(of_winner) or _left_out(of_baseline):
            continue
        right, was_right = of_winner.passed is True, of_baseline.passed is True
        if right != was_right:
            (gained if right else lost).append(case_id)
    return gained, lost


def _left_out(attempt: Attempt) -> bool:
    """Whether the attempt has no verdict, because the server, a tool or a scorer failed."""
    return attempt.failure is not None and attempt.failure.kind not in AGENT_FAILURES


def _first(store: Store, run_id: str) -> Attempts:
    return {
        attempt.case_id: (attempt, case) for attempt, case in store.attempts_with_cases(run_id) if attempt.repeat == 0
    }
