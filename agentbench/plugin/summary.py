"""The output at the end of a pytest session: quality and serving tables, the Markdown summary, and JUnit XML
properties.

pytest escapes the values of properties, but not their names.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agentbench.core.attempt import Attempt
from agentbench.core.errors import UserError
from agentbench.core.run import Run
from agentbench.gate.judge import Gating, gate_options, judge_run
from agentbench.plugin.item_reports import ItemReport, ItemReports
from agentbench.plugin.session import SuiteSession
from agentbench.plugin.stash import SESSION
from agentbench.report.gate import RunOutcome, failure_markdown, summary_markdown
from agentbench.report.run.table import run_report
from agentbench.report.run.view import run_view
from agentbench.stats.gate import GateCheck
from agentbench.stats.outcomes import Outcome, outcomes_of
from agentbench.stats.usage import total
from agentbench.store import Store


def write_tables(reporter: "pytest.TerminalReporter", session: SuiteSession) -> None:
    """The table of each run of this session."""
    session.settle()
    for run_id in session.run_ids:
        run = session.store.get_run(run_id)
        reporter.section(f"agentbench: {run.suite}")
        reporter.write_line(_as_text(run_report(run_view(session.store, run), piped=not reporter.hasmarkup)))


def write_markdown(config: pytest.Config) -> None:
    """Appends a section for each run, with its tests' results, to the summary file.

    It appends, since other steps of a CI job may write to the file too; it writes all or nothing.
    """
    session = config.stash[SESSION]
    named = session.option("summary")
    if not named:
        return
    items = ItemReports.of(config)
    runs = [(session.store.get_run(run_id), tuple(items.of_run(run_id))) for run_id in session.run_ids]
    text = "".join(_section(run, reports, session) + "\n" for run, reports in runs)
    text += "".join(_failures(tuple(items.failed_outside(session.run_ids))))
    if not text:
        return
    file = Path(named)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.write(text)


def _section(run: Run, reports: Sequence[ItemReport], session: SuiteSession) -> str:
    """The figures come from the run; whether it passed, and why, comes from pytest's item reports."""
    gating = _gating(run, session)
    outcome = _outcome(run, reports)
    verdict = replace(gating.verdict, passed=outcome == "passed", checks=tuple(_checks(run, reports)))
    return summary_markdown(replace(gating, verdict=verdict), session.store, outcome)


def _failures(reports: Sequence[ItemReport]) -> Iterator[str]:
    """A section for each suite without a run: the reason why it could not run."""
    for suite in dict.fromkeys(report.suite for report in reports):
        messages = dict.fromkeys(report.message for report in reports if report.suite == suite)
        yield failure_markdown(f"agentbench {suite}", messages)


def _gating(run: Run, session: SuiteSession) -> Gating:
    """The gate's verdict, with the baseline if there is one. An invalid name has failed its gate already, or does not
    matter.
    """
    named = session.option("baseline")
    options = gate_options(run, **({"baseline": named} if named else {}))
    try:
        return judge_run(session.store, run, options, directory=session.baselines)
    except UserError as error:
        gating = judge_run(session.store, run, gate_options(run, baseline=None))
        return gating if _is_gated(run) else replace(gating, notes=(*gating.notes, str(error)))


def _outcome(run: Run, reports: Sequence[ItemReport]) -> RunOutcome:
    if any(report.outcome == "failed" for report in reports):
        return "failed"
    deciding = [report for report in reports if report.kind != "case" or not _is_gated(run)]
    if not deciding:
        return "not judged"
    return "waits for review" if all(report.outcome == "skipped" for report in deciding) else "passed"


def _is_gated(run: Run) -> bool:
    return run.environment.get("mode") == "gate"


def _checks(run: Run, reports: Sequence[ItemReport]) -> Iterator[GateCheck]:
    """The checks of each gate and test, and one line for the cases."""
    cases = [report for report in reports if report.kind == "case"]
    if cases and not _is_gated(run):
        yield _cases_check(run, cases)
    elif broken := [report for report in cases if report.outcome == "failed"]:
        text = f"{len(broken)} of {len(cases)} cases have no result: {broken[0].message}"
        yield GateCheck(name="cases", passed=False, said=text)
    for report in reports:
        if report.kind == "gate":
            yield from _gate_checks(report)
        elif report.kind == "test":
            yield _test_check(report)


def _cases_check(run: Run, cases: Sequence[ItemReport]) -> GateCheck:
    failed = sum(report.outcome == "failed" for report in cases)
    skipped = sum(report.outcome == "skipped" for report in cases)
    rescued = sum(report.rescued for report in cases)
    parts = [f"{failed} of {len(run.case_ids)} cases did not pass"]
    parts += [f"{skipped} wait for review"] if skipped else []
    parts += [f"{rescued} passed in a rerun only"] if rescued else []
    unseen = len(run.case_ids) - len(cases)
    parts += [f"{unseen} were not reached"] if unseen else []
    return GateCheck(name="cases", passed=not failed, said=", ".join(parts))


def _gate_checks(report: ItemReport) -> Iterator[GateCheck]:
    for text, passed in report.checks:
        yield GateCheck(name="gate", passed=passed, said=text)
    if report.outcome == "failed" and all(passed for _, passed in report.checks):
        yield GateCheck(name="gate", passed=False, said=report.message)


def _test_check(report: ItemReport) -> GateCheck:
    """A test in one line: why it failed, otherwise what it asserted."""
    wanted = [text for text, passed in report.checks if passed == (report.outcome != "failed")]
    found = "; ".join(dict.fromkeys(wanted)) or report.message or report.outcome
    return GateCheck(name="test", passed=report.outcome != "failed", said=f"{report.node_id}: {found}")


def _as_text(report: Any) -> str:
    console = Console(markup=False, highlight=False, emoji=False, width=100, no_color=True)
    with console.capture() as capture:
        console.print(report)
    return capture.get().rstrip()


Property = tuple[str, object]


def case_properties(run_id: str, attempts: Sequence[Attempt]) -> Iterator[Property]:
    """A case's properties: verdicts and mean scores over its repeats, slowest call, tokens, failures."""
    outcomes = outcomes_of(attempts)
    right = sum(outcome.passed is True for outcome in outcomes)
    yield "agentbench_run", run_id
    yield "agentbench_passed", f"{right} of {len(outcomes)}"
    yield "agentbench_pass_rate", round(right / len(outcomes), 4) if outcomes else 0.0
    yield from _scores(outcomes)
    for name in ("ttft_s", "tpot_s"):
        if values := [value for outcome in outcomes for value in getattr(outcome, name)]:
            yield f"agentbench_{name}", round(max(values), 5)
    for name in ("prompt_tokens", "completion_tokens"):
        if (count := total(getattr(outcome.usage, name) for outcome in outcomes)) is not None:
            yield f"agentbench_{name}", count
    for name in ("uncounted_prompts", "uncounted_completions"):
        if count := sum(getattr(outcome.usage, name) for outcome in outcomes):
            yield f"agentbench_{name}", count
    yield from (("agentbench_failure", outcome.failure) for outcome in outcomes if outcome.failure)


def _scores(outcomes: Iterable[Outcome]) -> Iterator[Property]:
    values_by_name: dict[str, list[float]] = {}
    for outcome in outcomes:
        for name, value in outcome.scores.items():
            values_by_name.setdefault(name, []).append(value)
    for name, values in values_by_name.items():
        yield f"agentbench_score_{_word(name)}", round(sum(values) / len(values), 4)


def gate_properties(gating: Gating) -> Iterator[Property]:
    """A gate's properties: its run and its checks."""
    yield "agentbench_run", gating.run.id
    for check in gating.verdict.checks:
        yield f"agentbench_gate_{_word(check.name)}", f"{'passed' if check.passed else 'failed'}: {check.said}"


def run_properties(store: Store, run_ids: Iterable[str]) -> Iterator[Property]:
    """The session's properties: each run's identity and figures, under the suite's name."""
    for run_id in run_ids:
        run = store.get_run(run_id)
        view = run_view(store, run)
        head = f"agentbench_{_word(run.suite)}"
        yield f"{head}_run", run.id
        yield f"{head}_config", run.config_hash
        yield f"{head}_commit", str(run.environment.get("git_commit", ""))
        yield f"{head}_pass_rate", "" if view.accuracy is None else round(view.accuracy.value, 4)
        yield f"{head}_right_wrong_failed", f"{view.right} / {view.wrong} / {view.failed} of {view.planned}"
        for name in ("ttft_p95_s", "tpot_p50_s", "agent_goodput_per_s"):
            if (value := getattr(view.serving, name)) is not None:
                yield f"{head}_{name}", round(value, 5)


def _word(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
