"""A study as one HTML file: its verdict, what the winner changes, its candidates, the cases that changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.text import Text

from agentbench.report.html_file import block, plotly, script_json, text
from agentbench.report.load_page_style import STYLE as SHARED_STYLE
from agentbench.study import StudyRecord
from tuners import page_charts
from tuners.candidate import Candidate
from tuners.changed_cases import SHOWN, Changed, Side, parted
from tuners.page_style import SCRIPT, STYLE
from tuners.report import verdict_lines
from tuners.study_file import StudyFile
from tuners.told import COLUMNS, candidate_row
from tuners.verdict import Verdict

LEAST_FOR_CHARTS = 2

UNITS = {
    "goodput": "goodput: right answers per second that met the objectives",
    "output_tokens_per_s": "output tokens per second",
    "tokens": "tokens of an attempt",
    "cost": "cost of an attempt",
    **{name: f"{name}, seconds" for name in ("ttft_p50", "ttft_p95", "tpot_p50", "latency_p95")},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """All that a page shows. `ended` has when each candidate did, `front` the numbers of those on it, `before` what the
    baseline has at the paths that the winner sets."""

    record: StudyRecord
    file: StudyFile
    candidates: Sequence[Candidate]
    ended: Mapping[int, datetime]
    front: Sequence[int]
    importance: Mapping[str, float]
    verdict: Verdict | None
    before: Mapping[str, Any]
    changed: Sequence[Changed] = ()

    @property
    def winner(self) -> int | None:
        return self.verdict.winner if self.verdict else None


def study_page(view: StudyView) -> str:
    """The whole file. `UserError` when Plotly is not installed."""
    charts = _charts(view)
    body = [_title(view), _verdict(view), _diff(view), _figures(charts), _candidates(view), _changes(view)]
    data = script_json({name: chart for name, (chart, _, _) in charts.items()})
    script = [
        f"<script>{plotly()}</script>",
        f'<script type="application/json" id="charts">{data}</script>',
        f"<script>{SCRIPT}</script>",
    ]
    head = [
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>study {text(view.record.name)}</title><style>{SHARED_STYLE}{STYLE}</style>",
    ]
    parts = ['<!doctype html>\n<html lang="en" class="noscript"><head>', *head, "</head><body><main>", *body, "</main>"]
    return "".join([*parts, *script, "</body></html>\n"])


def _title(view: StudyView) -> str:
    record, runs = view.record, sum(each.case_runs for each in view.candidates)
    facts = (
        f"suite {record.suite}",
        record.status,
        f"{len(view.candidates)} candidates",
        f"{runs} case-runs",
        f"{record.seconds:.0f} s of search",
        f"{record.created_at:%Y-%m-%d %H:%M} UTC",
    )
    return f'<h1>study {text(record.name)}</h1><p class="sub">{" · ".join(text(fact) for fact in facts)}</p>'


def _verdict(view: StudyView) -> str:
    if view.verdict is None:
        return f'<div class="verdict"><p>No verdict yet: agentbench tune --resume {text(view.record.name)}</p></div>'
    lines = verdict_lines(view.file, view.candidates, view.verdict)
    said = "".join(_said(each) for each in lines)
    return f'<div class="verdict">{said}</div>'


def _said(line: Text) -> str:
    """A line of the verdict; its heading is bold, what belongs to the line before it stands in."""
    head = next((line.plain[: span.end] for span in line.spans if span.style == "bold"), "")
    kind = "note" if line.plain.startswith("Note") else "more" if line.plain.startswith("  ") else ""
    lead = f"<b>{text(head)}</b> " if head.strip() else ""
    return f'<p class="{kind}">{lead}{text(line.plain[len(head) :])}</p>'


def _diff(view: StudyView) -> str:
    """What the winner changes of the baseline."""
    if view.verdict is None or not view.verdict.settings:
        return ""
    before = view.before
    rows = "".join(
        f'<tr><th scope="row">{text(path)}</th><td class="text">{_value(before.get(path))}</td>'
        f'<td class="text">{_value(value)}</td></tr>'
        for path, value in view.verdict.settings.items()
        if before.get(path) != value
    )
    head = "<tr><th>setting</th><th class='text'>baseline</th><th class='text'>winner</th></tr>"
    return f"<h2>What the winner changes</h2>{_table(head, rows)}"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple) and value and all(isinstance(each, Mapping) for each in value):
        return "".join(f"<pre>{block(_exchange(each))}</pre>" for each in value)
    return f"<pre>{block('none' if value is None else value)}</pre>"


def _exchange(demonstration: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {said}" for name, said in demonstration.items())


def _table(head: str, rows: str, kind: str = "") -> str:
    return (
        f'<div class="wide" tabindex="0"><table class="{kind}"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    )


Charts = dict[str, tuple[page_charts.Chart, str, str]]
"""Id to the chart, its caption and its classes."""


def _charts(view: StudyView) -> Charts:
    scored = [each for each in view.candidates if each.scores]
    if len(scored) < LEAST_FOR_CHARTS:
        return {}
    metric = next((name for name in view.file.objectives if name != "quality"), "goodput")
    front = page_charts.front_chart(scored, view.front, view.winner, metric)
    front["layout"]["xaxis"]["title"]["text"] = UNITS.get(metric, metric)
    spending = page_charts.spending_chart(scored, view.ended, view.record.created_at)
    found: Charts = {
        "front": (front, f"Pareto front: quality against {metric}", "plot"),
        "spending": (spending, "What was spent, and the best that it had found", "plot"),
    }
    paths = [path for path in view.file.space if any(path in each.settings for each in scored)]
    if paths:
        found["parallel"] = (page_charts.parallel_chart(scored, paths), "Parameters and quality", "plot whole")
    if view.importance:
        chart = page_charts.importance_chart(view.importance)
        found["importance"] = (chart, "What quality depends on", "plot bars")
    return found


def _figures(charts: Charts) -> str:
    drawn = "".join(_figure(name, caption, kind) for name, (_, caption, kind) in charts.items())
    return f'<div class="charts">{drawn}</div>' if charts else ""


def _figure(name: str, caption: str, kind: str) -> str:
    whole = ' class="whole"' if "whole" in kind else ""
    told = f"{text(caption)}; the table of candidates has the figures"
    chart = f'<div class="{kind}" id="{name}" role="img" aria-label="{told}"></div>'
    return f"<figure{whole}><figcaption>{text(caption)}</figcaption>{chart}</figure>"


def _candidates(view: StudyView) -> str:
    """All of them; a click on a heading sorts by it."""
    names = (*COLUMNS[:-1], "end")
    head = "".join(f'<th{_kind(name)}><button type="button">{text(name)}</button></th>' for name in names)
    marked = set(view.front)
    order = sorted(view.candidates, key=lambda each: (each.number not in marked, not each.scores, -each.quality))
    rows = "".join(_row(each, each.number in marked, each.number == view.winner) for each in order)
    return f"<h2>Candidates</h2>{_table(f'<tr>{head}</tr>', rows, 'sortable')}"


def _kind(name: str) -> str:
    return ' class="text"' if name == "what changed" else ""


def _row(candidate: Candidate, on_front: bool, won: bool) -> str:
    raw = {
        "quality": candidate.quality if candidate.scores else "",
        "TTFT p95": candidate.figures.get("ttft_p95", ""),
        "TPOT p50": candidate.figures.get("tpot_p50", ""),
        "goodput/s": candidate.figures.get("goodput", ""),
    }
    said = list(candidate_row(candidate))
    said[-1] += " ● front" * on_front + " ★ winner" * won
    values = {name: f' data-value="{value}"' for name, value in raw.items()}
    cells = "".join(
        f"<td{_kind(name)}{values.get(name, '')}>{text(cell)}</td>" for name, cell in zip(COLUMNS, said, strict=True)
    )
    if candidate.reason:
        cells = cells.removesuffix("</td>") + f"<br><small>{text(candidate.reason)}</small></td>"
    return f'<tr class="{"front" if on_front else ""}">{cells}</tr>'


def _changes(view: StudyView) -> str:
    if not view.changed:
        return ""
    gained, lost = parted(view.changed)
    parts = ["<h2>Cases that changed on test</h2>"]
    for name, found in (("Newly right", gained), ("Newly wrong", lost)):
        left = f" ({SHOWN} of them shown)" if len(found) > SHOWN else ""
        parts.append(f"<h3>{name}: {len(found)}{left}</h3>")
        parts += [_case(each) for each in found[:SHOWN]]
    return "".join(parts)


def _case(changed: Changed) -> str:
    sides = "".join(_side(name, side) for name, side in (("winner", changed.winner), ("baseline", changed.baseline)))
    asked = f"<pre>{block(changed.question)}</pre>" if changed.question else ""
    return (
        f"<details><summary><code>{text(changed.case_id)}</code> {text(changed.question[:120])}</summary>"
        f'{asked}<div class="sides">{sides}</div></details>'
    )


def _side(name: str, side: Side) -> str:
    verdict = f'<span class="mark {"good" if side.verdict == "right" else "bad"}">{side.verdict}</span>'
    said = "".join(f"<pre>{block(each, 2000)}</pre>" for each in side.said) or "<p>nothing said</p>"
    scores = "".join(f"<p><small>{text(each[:600])}</small></p>" for each in side.scores)
    return f"<div><p>{name}: {verdict}</p>{said}{scores}</div>"
