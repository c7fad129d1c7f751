"""A comparison of two runs as a table for the terminal and as Markdown for a pull request."""

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentbench.report import figures
from agentbench.report.compare.view import CompareView, score_metric
from agentbench.report.markdown import cases, configuration, markdown
from agentbench.report.run.table import tokens, verdicts
from agentbench.report.run.view import RunView
from agentbench.report.terminal import case_line, grid
from agentbench.report.terminal_safe import line
from agentbench.stats.comparison import PairedShift
from agentbench.stats.estimates import Repeated

ALPHA = 0.05
CASES_SHOWN = 12

Cell = str | Text
Row = tuple[str, Cell, Cell, Cell]


def compare_report(view: CompareView, *, piped: bool = False) -> RenderableType:
    """Table, verdict, changed cases, differences between the configurations, and limits of the comparison."""
    parts: list[RenderableType] = [_metrics(view, piped), verdict(view), *_changed(view)]
    if view.changes:
        parts += [Text(), _configuration(view, piped)]
    else:
        parts.append(Text("The configurations are the same.", style="dim"))
    parts += [Text(f"Note: {line(note)}", style="yellow") for note in view.notes]
    return Group(*parts)


def _metrics(view: CompareView, piped: bool) -> Table:
    table = grid(f"{line(view.a.run.suite)} · B against A", piped=piped)
    table.add_column("", style="bold", no_wrap=True)
    table.add_column(Text(f"A  {line(view.a.title)}", style="cyan"), justify="right", overflow="fold")
    table.add_column(Text(f"B  {line(view.b.title)}", style="blue"), justify="right", overflow="fold")
    table.add_column(Text.assemble("B − A\n", ("95 % interval", "dim")), justify="right")
    for row in metric_rows(view):
        table.add_row(*row)
    return table


def metric_rows(view: CompareView) -> list[Row]:
    """Metric, A's value, B's value, B − A. The second line of a cell is the 95 % interval."""
    return [*_verdict_rows(view), *_score_rows(view), *_latency_rows(view), *_rate_rows(view)]


def _verdict_rows(view: CompareView) -> list[Row]:
    paired = view.passes
    span = _span(figures.points, paired.difference, paired.low, paired.high)
    return [
        ("Model", _dim(view.a.model), _dim(view.b.model), ""),
        ("Accuracy", _accuracy(view.a), _accuracy(view.b), _difference(view, "pass_rate", paired.difference, span)),
        ("Right / wrong / failed", verdicts(view.a), verdicts(view.b), Text(_p_value(view), style="dim")),
        *_repeats_rows(view),
    ]


def _repeats_rows(view: CompareView) -> list[Row]:
    """pass^k of each run over its own cases with k verdicts. Where counting the agent's failures as wrong answers
    changes a value, a second row has those."""
    a, b = view.a, view.b
    if a.repeated is None and b.repeated is None:
        return []
    rows: list[Row] = [("pass^k", _repeated(a.repeated), _repeated(b.repeated), "")]
    if any(run.repeated_as_gated != run.repeated for run in (a, b)):
        rows.append(("  failures as wrong", _repeated(a.repeated_as_gated), _repeated(b.repeated_as_gated), ""))
    return rows


def _repeated(found: Repeated | None) -> Text:
    """pass^k, its k and its number of cases."""
    if found is None:
        return Text(figures.NONE)
    every = found.pass_hat_k
    of = f"k = {found.k}, {every.cases if every else 0} cases"
    return Text.assemble(figures.percent(every.value if every else None), "\n", (of, "dim"))


def _p_value(view: CompareView) -> str:
    return figures.probability(view.passes.p_value) if view.passes.p_value is not None else ""


def _score_rows(view: CompareView) -> list[Row]:
    """A row for each graded scorer."""
    rows: list[Row] = []
    for score in view.scores:
        span = _span(figures.points, score.difference, score.low, score.high)
        cell = _difference(view, score_metric(score.scorer), score.difference, span)
        rows.append((line(score.scorer), figures.percent(score.mean_a), figures.percent(score.mean_b), cell))
    return rows


def _accuracy(view: RunView) -> Text:
    value = figures.percent(view.accuracy.value if view.accuracy else None)
    around = figures.interval(view.accuracy) or figures.no_interval(view.accuracy)
    return Text.assemble((value, "bold"), "\n", (around, "dim"))


def _latency_rows(view: CompareView) -> list[Row]:
    a, b = view.a.serving, view.b.serving
    return [
        ("TTFT p50", figures.seconds(a.ttft_p50_s), figures.seconds(b.ttft_p50_s), _shift(view, "ttft_p50", view.ttft)),
        (
            "TTFT p95",
            figures.seconds(a.ttft_p95_s),
            figures.seconds(b.ttft_p95_s),
            _ratio(a.ttft_p95_s, b.ttft_p95_s),
        ),
        ("TPOT p50", figures.seconds(a.tpot_p50_s), figures.seconds(b.tpot_p50_s), _shift(view, "tpot_p50", view.tpot)),
    ]


def _rate_rows(view: CompareView) -> list[Row]:
    a, b = view.a.serving, view.b.serving
    left, right = (figures.at_least(figures.rate(each.output_tokens_per_s), each.uncounted_timed) for each in (a, b))
    counted = not (a.uncounted_timed or b.uncounted_timed)
    ratio = _ratio(a.output_tokens_per_s, b.output_tokens_per_s) if counted else Text(figures.NONE, style="dim")
    rates = [
        ("Agent goodput/s", a.agent_goodput_per_s, b.agent_goodput_per_s, figures.rate),
        ("Wall time", a.wall_s, b.wall_s, figures.seconds),
    ]
    rows: list[Row] = [
        ("Output tokens/s", left, right, ratio),
        *((name, form(of_a), form(of_b), _ratio(of_a, of_b)) for name, of_a, of_b, form in rates),
    ]
    rows.insert(2, ("Tokens in / out", tokens(view.a), tokens(view.b), ""))
    return rows


def _ratio(a: float | None, b: float | None) -> Text:
    """B's value as a multiple of A's."""
    return Text(f"{figures.ratio(b, a)}", style="dim")


def _shift(view: CompareView, metric: str, shift: PairedShift | None) -> Text:
    """The paired difference of a latency. A lower latency is better."""
    if shift is None:
        return Text(figures.NONE)
    span = _span(figures.shift, shift.difference_s, shift.low_s, shift.high_s)
    return _difference(view, metric, -shift.difference_s, span)


def _span(
    form: Callable[[float | None], str], value: float | None, low: float | None, high: float | None
) -> tuple[str, str]:
    """A formatted value and its formatted interval; the interval is empty where it is unknown."""
    return form(value), "" if low is None or high is None else figures.bounds(form(low), form(high))


def _difference(view: CompareView, metric: str, gain: float | None, span: tuple[str, str]) -> Text:
    """A difference and its interval, coloured if it is significant by its adjusted p. B is better if `gain` > 0."""
    significant = gain is not None and view.adjusted.get(metric, 1.0) < ALPHA
    style = "bold" if gain is None or not significant else "bold green" if gain > 0 else "bold red"
    return Text.assemble((span[0], style), "\n", (span[1], "dim"))


def _dim(text: str) -> Text:
    return Text(line(text) or figures.NONE, style="dim")


def verdict(view: CompareView, later: str = "B", family: int | None = None) -> Text:
    """The conclusion from the comparison of pass rates, with its test. `later` is the letter of the later run;
    `family` is the number of metrics that p is adjusted for, by default those of this comparison."""
    paired = view.passes
    if paired.difference is None or paired.p_value is None:
        return Text("No case was graded in both runs: nothing to compare.", style="bold yellow")
    adjusted = view.adjusted["pass_rate"]
    metrics = len(view.adjusted) if family is None else family
    shown = conclusion(paired.difference, adjusted, "A", later)
    test = f"{paired.test}, {figures.probability(paired.p_value)}, {paired.cases} paired cases"
    if metrics > 1:
        test += f"; {figures.probability(adjusted)} as one of {metrics} metrics (Holm)"
    clusters = f" in {paired.clusters} clusters" if paired.clusters < paired.cases else ""
    return Text.assemble((shown, "bold"), f" ({test}{clusters}). {_detectable(view)}".rstrip())


def conclusion(difference: float | None, p_value: float | None, a: str, b: str) -> str:
    """The conclusion from the difference in accuracy, b − a, and its adjusted p."""
    if difference is None or p_value is None:
        return "No case was graded in both runs: nothing to compare"
    if p_value >= ALPHA:
        return "No difference in accuracy is shown"
    more, less = (b, a) if difference > 0 else (a, b)
    return f"{more} is right more often than {less}"


def _detectable(view: CompareView) -> str:
    least = view.passes.smallest_detectable
    if least is None:
        significant = view.adjusted["pass_rate"] < ALPHA
        return "" if significant else "There are too few cases to show any difference."
    return f"Smallest detectable difference: {100 * least:.1f} pts (power 0.8)."


def _changed(view: CompareView) -> list[Text]:
    found = [("A", "cyan", view.passes.better_in_a), ("B", "blue", view.passes.better_in_b)]
    return [case_line(f"Better in {run} ({len(ids)})", ids, style, CASES_SHOWN) for run, style, ids in found if ids]


def _configuration(view: CompareView, piped: bool) -> Table:
    table = grid("Configuration", piped=piped)
    table.add_column("Path", style="bold")
    table.add_column("A", style="cyan")
    table.add_column("B", style="blue")
    for change in view.changes:
        table.add_row(Text(line(change.path)), _value(change.a), _value(change.b))
    return table


def _value(value: object) -> Text:
    shown = line(str(value))
    return Text(figures.NONE if value is None else shown if len(shown) <= 200 else f"{shown[:200]}…")


def compare_markdown(view: CompareView) -> str:
    """Verdict, table, changed cases, differences between the configurations, and limits of the comparison."""
    parts = [f"## agentbench {markdown(view.a.run.suite)}: B against A", "", markdown(verdict(view).plain), ""]
    parts += [f"| metric | A: {markdown(view.a.title)} | B: {markdown(view.b.title)} | B − A (95 %) |"]
    parts += ["|---|---:|---:|---:|", *(f"| {' | '.join(map(_cell, row))} |" for row in metric_rows(view)), ""]
    parts += cases("Better in A", view.passes.better_in_a, CASES_SHOWN)
    parts += cases("Better in B", view.passes.better_in_b, CASES_SHOWN)
    parts += configuration(view.changes, "A", "B")
    parts += [f"_{markdown(note)}_\n" for note in view.notes]
    return "\n".join(parts)


def _cell(cell: Cell) -> str:
    lines = (cell.plain if isinstance(cell, Text) else cell).split("\n")
    return "<br>".join(markdown(each) for each in lines if each)
