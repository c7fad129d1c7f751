"""The table of one run on the terminal."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from agentbench.core.run import Run
from agentbench.report import figures
from agentbench.report.run.case_outcomes import CaseOutcome
from agentbench.report.run.view import RunView, short_id
from agentbench.report.terminal import case_line, grid
from agentbench.report.terminal_safe import line
from agentbench.stats import Estimate, ServingSummary

STYLES = {"right": "green", "mixed": "yellow", "wrong": "red", "failed": "magenta", "waiting": "cyan"}


def run_report(view: RunView, *, piped: bool = False) -> RenderableType:
    """The table of a run and its cases by outcome."""
    table = grid(f"{line(view.run.suite)} · {line(view.title)}", piped=piped)
    table.add_column("Metric", style="bold", no_wrap=True)
    table.add_column("Value")
    table.add_column("", style="dim")
    for name, value, remark in run_rows(view):
        table.add_row(name, Text(line(value)), Text(line(remark)))
    return Group(table, *reason_lines(view), *outcome_lines(view.outcomes))


def run_rows(view: RunView) -> list[tuple[str, str, str]]:
    """Metric, value and remark."""
    return [*_identity_rows(view), *_verdict_rows(view), *_serving_rows(view)]


def _identity_rows(view: RunView) -> list[tuple[str, str, str]]:
    run = view.run
    return [
        ("Run", run.id, f"{run.status}, started {run.created_at:%Y-%m-%d %H:%M} UTC"),
        *_part_rows(run),
        ("Agent", view.agent or figures.NONE, f"configuration {run.config_hash[:8]}"),
        ("Model", view.model or figures.NONE, f"served by {view.server}" if view.server else ""),
    ]


def _part_rows(run: Run) -> list[tuple[str, str, str]]:
    """A row that says which part of the suite was run; no row for the entire suite."""
    if run.kind == "rerun":
        return [("Rerun", f"{len(run.case_ids)} cases", f"failing ones of {run.environment.get('rerun_of', 'a run')}")]
    return [("Part", f"{len(run.case_ids)} cases", f"of the suite's {run.suite_cases}")] if run.is_part else []


def _verdict_rows(view: RunView) -> list[tuple[str, str, str]]:
    accuracy = view.accuracy
    kinds = ", ".join(f"{number} {kind}" for kind, number in view.failures.items())
    ended = view.right + view.wrong + view.failed + view.waiting
    rows = [
        ("Accuracy", figures.percent(accuracy.value if accuracy else None), _interval(accuracy)),
        *((f"  {line(name)}", figures.percent(each.value), _interval(each)) for name, each in view.scores.items()),
        ("Right / wrong / failed", verdicts(view), kinds or f"{ended} of {view.planned} attempts"),
    ]
    if view.waiting:
        rows.append(("Waiting for review", str(view.waiting), f"agentbench review {short_id(view.run.id)}"))
    return [*rows, *_repeats_rows(view)]


def _interval(estimate: Estimate | None) -> str:
    interval = figures.interval(estimate)
    return f"95 %: {interval}" if interval else figures.no_interval(estimate)


def _repeats_rows(view: RunView) -> list[tuple[str, str, str]]:
    """pass^k and pass@k of the cases whose attempts all have a verdict. Where counting the agent's failures as wrong
    answers changes a value, a second row has that one."""
    without, gated = view.repeated, view.repeated_as_gated
    if without is None or gated is None:
        return []
    rows = []
    for name, left_out, counted in (
        (f"pass^{without.k}", without.pass_hat_k, gated.pass_hat_k),
        (f"pass@{without.k}", without.pass_at_k, gated.pass_at_k),
    ):
        rows.append((name, figures.percent(left_out.value if left_out else None), _interval_and_cases(view, left_out)))
        if counted is not None and counted != left_out:
            rows.append(("  failures as wrong", figures.percent(counted.value), _interval_and_cases(view, counted)))
    return rows


def _interval_and_cases(view: RunView, estimate: Estimate | None) -> str:
    """The interval, and the number of cases it covers where it does not cover all."""
    if estimate is None:
        return f"no case has {view.run.repeats} verdicts"
    over = f"over the {estimate.cases} cases with {view.run.repeats} verdicts"
    return "; ".join(
        part for part in (_interval(estimate), over if estimate.cases < len(view.run.case_ids) else "") if part
    )


def verdicts(view: RunView) -> str:
    return f"{view.right} / {view.wrong} / {view.failed}"


def _serving_rows(view: RunView) -> list[tuple[str, str, str]]:
    serving, tail = view.serving, view.ttft_p95
    interval = f"95 %: {found}" if (found := figures.time_interval(tail)) else figures.no_interval(tail)
    return [
        ("TTFT p50", figures.seconds(serving.ttft_p50_s), model_calls(serving)),
        ("TTFT p95", figures.seconds(serving.ttft_p95_s), interval),
        *_first_token_rows(serving),
        ("TPOT p50", figures.seconds(serving.tpot_p50_s), "per output token after the first"),
        (
            "Output tokens/s",
            figures.at_least(figures.rate(serving.output_tokens_per_s), serving.uncounted_timed),
            "all streams together",
        ),
        ("Agent goodput/s", figures.rate(serving.agent_goodput_per_s), goodput_remark(view.objectives)),
        ("Tokens in / out", tokens(view), cached(view)),
        *_cost_rows(view),
        ("Wall time", figures.seconds(serving.wall_s), ""),
        *_cold_start_rows(view),
    ]


def _first_token_rows(serving: ServingSummary) -> list[tuple[str, str, str]]:
    if not serving.held_text_back:
        return []
    p95 = f"p95 {figures.seconds(serving.first_token_p95_s)}; its text was held back until the TTFT"
    return [("First token p50", figures.seconds(serving.first_token_p50_s), p95)]


def _cold_start_rows(view: RunView) -> list[tuple[str, str, str]]:
    found = view.cold_starts
    if found is None:
        return []
    remark = f"of {figures.count(found.count)} starts of the agent, longest {figures.seconds(found.max_s)}"
    return [("Cold start p50", figures.seconds(found.p50_s), remark)]


def model_calls(serving: ServingSummary) -> str:
    """The number of model calls, and how many of them have no TTFT."""
    calls = f"{figures.count(serving.model_calls)} model calls"
    unknown = serving.model_calls - serving.ttft_calls
    return f"{calls}, {unknown} answered in one piece or not at all" if unknown else calls


def goodput_remark(objectives: Mapping[str, float]) -> str:
    return f"right answers with {figures.limits(objectives)}" if objectives else "right answers"


def tokens(view: RunView) -> str:
    serving = view.serving
    prompts = figures.at_least(figures.count(serving.prompt_tokens), serving.uncounted_prompts)
    completions = figures.at_least(figures.count(serving.completion_tokens), serving.uncounted_completions)
    return f"{prompts} / {completions}"


def _cost_rows(view: RunView) -> list[tuple[str, str, str]]:
    """The cost of the tokens, and the number of calls whose cost is unknown."""
    if view.cost is None:
        return []
    unknown = view.cost.unknown_calls
    left_out = f"; without {figures.count(unknown)} calls of unknown cost" if unknown else ""
    value = figures.at_least(figures.cost(view.cost.value), unknown)
    return [("Cost", value, f"of its tokens, at the suite's prices{left_out}")]


def cached(view: RunView) -> str:
    found = view.serving.cached_tokens
    return f"{figures.count(found)} of the prompt from the cache" if found else ""


CAUSES = {"infra": " of the model server or the network", "timeout": " of the agent", "budget": " of the agent"}
"""What caused a failure, for the kinds whose name does not say it."""


def reason_lines(view: RunView) -> list[Text]:
    """The most frequent failures: kind, cause, count and message."""
    return [
        Text.assemble(
            (
                f"{kind} failure{CAUSES.get(kind, '')}, {number} of {view.failed}",
                f"bold {STYLES['failed']}",
            ),
            f"  {line(message)}",
        )
        for kind, message, number in view.reasons
    ]


def outcome_lines(outcomes: tuple[CaseOutcome, ...]) -> list[Text]:
    """The case ids of each outcome; failed and wrong cases come first."""
    lines = []
    for outcome in ("failed", "wrong", "mixed", "waiting", "right"):
        ids = [found.case_id for found in outcomes if found.outcome == outcome]
        if ids:
            lines.append(case_line(f"{outcome} ({len(ids)})", ids, STYLES[outcome]))
    return lines
