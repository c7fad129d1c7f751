"""A gate's verdict as lines for a terminal and as a Markdown section for a pull request."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from agentbench.gate.baseline import Baseline
from agentbench.gate.judge import Gating
from agentbench.report import figures
from agentbench.report.config_diff import config_diff
from agentbench.report.markdown import cases, configuration, markdown
from agentbench.report.run.view import RunView, view_of
from agentbench.report.terminal_safe import line
from agentbench.stats import mean_estimate
from agentbench.stats.samples import passes
from agentbench.store import Store

CASES_SHOWN = 10

RunOutcome = Literal["passed", "failed", "waits for review", "not judged"]
MARKS: Mapping[RunOutcome, str] = {"passed": "✅", "failed": "❌", "waits for review": "⏳", "not judged": "⚠️"}


def gate_lines(gating: Gating) -> list[str]:
    """Each check, failed ones first. A failed gate adds the cases that changed and the commands that show them."""
    checks = sorted(gating.verdict.checks, key=lambda check: check.passed)
    lines = [f"{'ok  ' if check.passed else 'FAIL'} {line(check.said)}" for check in checks]
    if gating.failures:
        lines.append("failures: " + ", ".join(f"{kind} {count}" for kind, count in gating.failures.items()))
    if not gating.verdict.passed:
        lines += [*_cases("worse than the baseline", gating.lost), *_cases("better", gating.gained)]
    lines += _cases("flaky (right and wrong without a change)", gating.flaky)
    lines += _cases("rescued by a rerun, and counted as missed", gating.rescued)
    if not gating.verdict.passed:
        lines += [f"  {line(command)}" for command in gating.commands]
    return lines + [f"note: {line(note)}" for note in gating.notes]


def verdict_line(gating: Gating) -> str:
    """Whether the gate passed, and on which part of the suite."""
    part = f" on {gating.part}" if gating.part else ""
    return f"gate {'passed' if gating.verdict.passed else 'failed'}{part}: {gating.run.id}"


def _cases(title: str, case_ids: Sequence[str]) -> list[str]:
    if not case_ids:
        return []
    more = f" and {len(case_ids) - CASES_SHOWN} more" if len(case_ids) > CASES_SHOWN else ""
    return [f"{title} ({len(case_ids)}): {', '.join(line(each) for each in case_ids[:CASES_SHOWN])}{more}"]


Row = tuple[str, str, str, str]
"""Metric, the run's value, the baseline's value, their difference (run − baseline)."""


def gate_markdown(title: str, gating: Gating, rows: Sequence[Row], outcome: RunOutcome | None = None) -> str:
    """A section of a summary: verdict, checks, changed cases. Without `rows` it has neither a table of metrics nor one
    of the configuration: a comparison, which shows both, stands next to it."""
    passed = gating.verdict.passed
    shown: RunOutcome = outcome or ("passed" if passed else "failed")
    parts = [f"## {MARKS[shown]} {markdown(title)}: {shown}", ""]
    parts += [f"**A part of the suite: {gating.part}**\n"] if gating.part else []
    parts += [f"- {'✅' if check.passed else '❌'} {markdown(check.said)}" for check in gating.verdict.checks]
    parts += ["", *_table(rows), *_changed(gating)]
    if gating.failures:
        counts = ", ".join(f"{kind} {count}" for kind, count in gating.failures.items())
        parts.append(f"**Attempts without an answer**: {counts}\n")
    if gating.baseline is not None and rows:
        parts += configuration(config_diff(gating.baseline.config, gating.run.config), "baseline", "run")
    parts += [f"_{markdown(note)}_\n" for note in gating.notes]
    if gating.commands and not passed:
        parts += ["```", *(line(command) for command in gating.commands), "```", ""]
    return "\n".join(parts)


def failure_markdown(title: str, reasons: Iterable[str]) -> str:
    """The section of a suite that could not run."""
    parts = [f"## {MARKS['failed']} {markdown(title)}: failed", "", *(f"- ❌ {markdown(reason)}" for reason in reasons)]
    return "\n".join([*parts, "", ""])


def _table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    head = ["| metric | run | baseline | difference |", "|---|---:|---:|---:|"]
    return [*head, *(f"| {' | '.join(map(markdown, row))} |" for row in rows), ""]


def _changed(gating: Gating) -> list[str]:
    changes = {
        "Worse": gating.lost,
        "Better": gating.gained,
        "Flaky": gating.flaky,
        "Rescued by a rerun": gating.rescued,
    }
    return [part for name, case_ids in changes.items() for part in cases(name, case_ids, CASES_SHOWN)]


def summary_markdown(gating: Gating, store: Store, outcome: RunOutcome | None = None) -> str:
    """Verdict, checks, and a table of the run's metrics and the baseline's. A run of a part of the suite is compared
    with the same part of the baseline.

    `outcome` replaces the gate's verdict.
    """
    view = view_of(gating.run, gating.outcomes)
    rows = [*_verdict_rows(view, gating), *_times(view, gating)]
    return gate_markdown(f"agentbench {gating.run.suite}", gating, rows, outcome)


def _verdict_rows(view: RunView, gating: Gating) -> Iterator[Row]:
    baseline, found = gating.baseline, gating.verdict.comparison
    rate = mean_estimate(passes(baseline.outcomes)) if baseline else None
    shift = figures.points(found.difference) if found and found.difference is not None else ""
    yield "cases", str(gating.cases), str(baseline.cases) if baseline else "", f"{found.cases} paired" if found else ""
    yield "pass rate", _with_interval(view), figures.percent(rate.value) if rate else "", shift
    yield "right / wrong / failed", f"{view.right} / {view.wrong} / {view.failed}", _counts(baseline), ""
    yield "goodput", f"{figures.rate(view.serving.agent_goodput_per_s)}/s", "", ""
    yield "run", view.run.id, baseline.run_id if baseline else "", ""


def _times(view: RunView, gating: Gating) -> Iterator[Row]:
    baseline_times = gating.baseline.times if gating.baseline else {}
    for name, key in (("TTFT p50", "ttft_p50_s"), ("TTFT p95", "ttft_p95_s"), ("TPOT p50", "tpot_p50_s")):
        own, base = getattr(view.serving, key), baseline_times.get(key)
        shift = figures.shift(own - base) if own is not None and base is not None else ""
        yield name, figures.seconds(own), "" if base is None else figures.seconds(base), shift


def _with_interval(view: RunView) -> str:
    value = figures.percent(view.accuracy.value if view.accuracy else None)
    spread = figures.interval(view.accuracy)
    return f"{value} ({spread})" if spread else value


def _counts(baseline: Baseline | None) -> str:
    if baseline is None:
        return ""
    right = sum(outcome.passed is True for outcome in baseline.outcomes)
    failed = sum(outcome.failure is not None for outcome in baseline.outcomes)
    return f"{right} / {len(baseline.outcomes) - right - failed} / {failed}"
