"""A study's report for the terminal: its candidates, its front, its effects and its verdict."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentbench.report import figures
from agentbench.report.terminal import grid
from agentbench.report.terminal_safe import line
from tuners.report.effects import Effect
from tuners.report.view import StudyView
from tuners.report.words import COLUMNS, beyond, candidate_row, changes, proposal_lines
from tuners.verdict.verdict import Verdict

BEST = 12
"""Most candidates shown besides those on the front; --json has all."""

COMPARED = {
    "goodput_per_s": "goodput",
    "ttft_p95_s": "TTFT p95",
    "tpot_p50_s": "TPOT p50",
    "latency_p95_s": "latency p95",
}

WIDE = 30
"""Least width of the column of changes, in characters."""

FULL, LESS = 120, ("rung", "TPOT p50", "s")
"""On a terminal with fewer characters than this, these columns are left out."""


def study_report(view: StudyView, *, piped: bool = False, width: int = 200) -> RenderableType:
    """The candidates with the front first, the effect of each parameter, the proposals and the verdict.

    `width` is the terminal's width in characters.
    """
    parts: list[RenderableType] = [_candidates(view, piped, width)]
    parts.append(Text(f"● Pareto front over {', '.join(view.file.objectives)}: {len(view.front)}", style="dim"))
    return Group(*parts, *effect_lines(view.effects), *proposal_lines(view.proposals), *verdict_lines(view))


def effect_lines(effects: Mapping[str, Effect]) -> list[Text]:
    """One line with each parameter's effect on quality and its margin of error; effects within it are only named."""
    if not effects:
        return []
    shown = [
        f"{path} {figures.points(each.difference)} ± {100 * each.margin:.0f} ({each.best} over {each.worst})"
        for path, each in effects.items()
        if each.is_shown
    ]
    unclear = [path for path, each in effects.items() if not each.is_shown]
    shown += [f"no clear effect: {', '.join(unclear)}"] if unclear else []
    return [Text.assemble(("What quality depends on  ", "bold"), line("; ".join(shown)))]


def _candidates(view: StudyView, piped: bool, width: int) -> Table:
    table = grid(f"study {view.record.name} · {view.headline}", piped=piped)
    columns = [name for name in COLUMNS if width >= FULL or name not in LESS]
    for name in columns:
        wide = name == "what changed"
        table.add_column(
            name,
            justify="left" if wide or not name else "right",
            overflow="fold",
            no_wrap=not wide,
            min_width=WIDE if wide else None,
        )
    for each in view.shown()[: len(view.front) + BEST]:
        cells = dict(zip(COLUMNS, candidate_row(each), strict=True))
        cells[""] = ("● " if each.number in view.front else "") + cells[""]
        table.add_row(*(Text(cells[name]) for name in columns))
    return table


def verdict_lines(view: StudyView) -> list[Text]:
    """The verdict in words; a bold heading says what a line is about."""
    verdict = view.verdict
    if verdict is None:
        return [Text(f"No verdict yet: agentbench tune --resume {view.record.name}", style="yellow")]
    notes = [Text(f"Note: {line(note)}", style="yellow") for note in verdict.notes]
    if verdict.winner is None:
        return [*notes, *_nearest(view, verdict)]
    winner = f"candidate {verdict.winner} ({changes(verdict.settings)})"
    finals = ", ".join(f"{number}: {figures.percent(quality)}" for number, quality in verdict.finals.items())
    return [
        Text.assemble(("Winner  ", "bold"), winner),
        Text.assemble(("Train again, fresh seeds  ", "bold"), finals),
        *notes,
        *_on_test(verdict),
        *_serving(verdict),
        *_payback(verdict),
    ]


def _nearest(view: StudyView, verdict: Verdict) -> list[Text]:
    nearest = next((each for each in view.candidates if each.number == verdict.nearest), None)
    if nearest is None:
        return []
    missed = beyond(nearest, view.file.bounds())
    return [Text(f"Nearest: candidate {nearest.number} ({changes(nearest.settings)}): {missed}")]


def _on_test(verdict: Verdict) -> list[Text]:
    if not verdict.passes or verdict.passes["difference"] is None:
        return []
    lines = [Text.assemble(("Held-out test  ", "bold"), _against(verdict.passes, "the baseline"))]
    lines += [Text(f"  {_against(passes, name)}") for name, passes in verdict.references.items()]
    for name, shift in (("TTFT", verdict.ttft), ("TPOT", verdict.tpot)):
        if shift is not None:
            span = figures.bounds(figures.shift(shift["low_s"]), figures.shift(shift["high_s"]))
            moved = f"{figures.shift(shift['difference_s'])} (95 %: {span})"
            lines.append(Text.assemble((f"  {name}, median of cases  ", "bold"), moved))
    return lines


def _against(passes: Mapping[str, Any], name: str) -> str:
    difference = f"{figures.points(passes['difference'])} ({_span(passes)}; {figures.probability(passes['p_value'])})"
    rates = f"{figures.percent(passes['rate_a'])} against {figures.percent(passes['rate_b'])} of {line(name)}"
    left_out = f", {passes['excluded']} failed attempts left out" if passes["excluded"] else ""
    return f"{rates}: {difference}, {passes['cases']} cases, paired{left_out}"


def _serving(verdict: Verdict) -> list[Text]:
    if not verdict.serving:
        return []
    rounds = next(iter(verdict.serving.values()))["rounds"]
    lines = [
        Text.assemble(
            ("Winner's server against the baseline's  ", "bold"),
            f"same agent, {rounds} rounds in turn; {_same(verdict)}",
        )
    ]
    for name, label in COMPARED.items():
        if (ratio := verdict.serving.get(name)) is not None:
            ends = [figures.digits(ratio[end]) for end in ("low", "high") if ratio[end] is not None]
            span = f" (95 %: {' to '.join(ends)})" if ends else ""
            lines.append(Text(f"  {label}  × {figures.digits(ratio['ratio'])}{span}"))
    return lines


def _same(verdict: Verdict) -> str:
    passes = verdict.served_passes
    if not passes:
        return "same answers"
    return f"{figures.points(passes['difference'])} of right answers ({_span(passes)})"


def _span(passes: Mapping[str, Any]) -> str:
    """The interval of the difference; there is none when the test cases belong to too few clusters."""
    if passes["low"] is None or passes["high"] is None:
        return "no interval: too few clusters"
    return f"95 %: {figures.bounds(figures.points(passes['low']), figures.points(passes['high']))}"


def _payback(verdict: Verdict) -> list[Text]:
    found = verdict.payback
    if not found:
        return []
    after = [
        f"{figures.count(round(count))} {what}"
        for what, count in (("attempts", found["attempts"]), ("right answers", found["right_answers"]))
        if count is not None
    ]
    took = figures.seconds(found["seconds"])
    costs = " against ".join(figures.seconds(found[f"{side}_s_per_right"]) for side in ("winner", "baseline"))
    when = f"after {' or '.join(after)}" if after else "never"
    text = f"{when}, when the time saved exceeds the study's {took}" if after else f"{when}: no time is saved"
    return [Text.assemble(("Break-even  ", "bold"), f"{text}; server time of a right answer: {costs}")]
