"""A gate's verdict as lines for a terminal, and as Markdown for a pull request."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from agentbench.gating import Gating
from agentbench.report.plain import line

SHOWN = 10

RunOutcome = Literal["passed", "failed", "waits for review", "not judged"]
MARKS: Mapping[RunOutcome, str] = {"passed": "✅", "failed": "❌", "waits for review": "⏳", "not judged": "⚠️"}


def gate_lines(gating: Gating) -> list[str]:
    """Each check, failed ones first, and of a gate that failed what changed and the commands that show it."""
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


def _cases(title: str, case_ids: Sequence[str]) -> list[str]:
    if not case_ids:
        return []
    more = f" and {len(case_ids) - SHOWN} more" if len(case_ids) > SHOWN else ""
    return [f"{title} ({len(case_ids)}): {', '.join(line(each) for each in case_ids[:SHOWN])}{more}"]


def markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]<>()#+-.!|~@&" else mark for mark in line(text))


def gate_markdown(
    title: str, gating: Gating, rows: Iterable[tuple[str, str, str, str]], outcome: RunOutcome | None = None
) -> str:
    """A section of a summary: verdict, checks, a table of (metric, run, baseline, difference), what changed."""
    passed = gating.verdict.passed
    said: RunOutcome = outcome or ("passed" if passed else "failed")
    parts = [f"## {MARKS[said]} {markdown(title)}: {said}", ""]
    parts += [f"- {'✅' if check.passed else '❌'} {markdown(check.said)}" for check in gating.verdict.checks]
    parts += ["", "| metric | run | baseline | difference |", "|---|---:|---:|---:|"]
    parts += [f"| {' | '.join(map(markdown, row))} |" for row in rows]
    parts.append("")
    changed = (("Worse", gating.lost), ("Better", gating.gained))
    for name, case_ids in (*changed, ("Flaky", gating.flaky), ("Rescued by a rerun", gating.rescued)):
        if case_ids:
            shown = ", ".join(f"`{line(each).replace('`', '')}`" for each in case_ids[:SHOWN])
            more = f" and {len(case_ids) - SHOWN} more" if len(case_ids) > SHOWN else ""
            parts.append(f"**{name}** ({len(case_ids)}): {shown}{more}\n")
    if gating.failures:
        counts = ", ".join(f"{kind} {count}" for kind, count in gating.failures.items())
        parts.append(f"**Attempts without an answer**: {counts}\n")
    parts += [f"_{markdown(note)}_\n" for note in gating.notes]
    if gating.commands and not passed:
        parts += ["```", *(line(command) for command in gating.commands), "```", ""]
    return "\n".join(parts)


def failure_markdown(title: str, reasons: Iterable[str]) -> str:
    """The section of a suite that could not be run."""
    parts = [f"## {MARKS['failed']} {markdown(title)}: failed", "", *(f"- ❌ {markdown(said)}" for said in reasons)]
    return "\n".join([*parts, "", ""])
