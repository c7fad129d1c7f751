"""Every number that is said of two runs side by side."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from agentbench.report.config_diff import ConfigChange, config_diff
from agentbench.report.run_view import RunView, short_id, view_of
from agentbench.run import Run
from agentbench.score import Attempt
from agentbench.stats import PairedComparison, compare_latency, compare_passes
from agentbench.stats.outcomes import outcome_of
from agentbench.stats.shift import PairedShift
from agentbench.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareView:
    """Runs `a` and `b`; every difference is a − b, paired on case. `notes` say what limits the comparison."""

    a: RunView
    b: RunView
    passes: PairedComparison
    ttft: PairedShift | None
    tpot: PairedShift | None
    changes: tuple[ConfigChange, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Both runs as `RunView.to_json`, and the paired differences (a − b; seconds; fractions)."""
        return {
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "accuracy": asdict(self.passes),
            "ttft_p50": self.ttft and asdict(self.ttft),
            "tpot_p50": self.tpot and asdict(self.tpot),
            "config_diff": {change.path: {"a": change.a, "b": change.b} for change in self.changes},
            "notes": list(self.notes),
        }


def compare_view(store: Store, a: Run, b: Run) -> CompareView:
    """Two stored runs compared, as far as they have come."""
    attempts_a, attempts_b = store.attempts(a.id), store.attempts(b.id)
    view_a, view_b = _distinct(view_of(a, attempts_a), view_of(b, attempts_b))
    outcomes_a, outcomes_b = [outcome_of(x) for x in attempts_a], [outcome_of(x) for x in attempts_b]
    passes = compare_passes(outcomes_a, outcomes_b)
    return CompareView(
        a=view_a,
        b=view_b,
        passes=passes,
        ttft=compare_latency(outcomes_a, outcomes_b, "ttft"),
        tpot=compare_latency(outcomes_a, outcomes_b, "tpot"),
        changes=config_diff(a.config, b.config),
        notes=tuple(_notes(view_a, view_b, passes, (*attempts_a, *attempts_b))),
    )


def _distinct(a: RunView, b: RunView) -> tuple[RunView, RunView]:
    """The views with titles that tell them apart."""
    if a.title != b.title:
        return a, b
    named = [replace(view, title=f"{view.title} {short_id(view.run.id)}") for view in (a, b)]
    return named[0], named[1]


def _notes(a: RunView, b: RunView, passes: PairedComparison, attempts: Sequence[Attempt]) -> list[str]:
    notes = []
    if a.run.id == b.run.id:
        notes.append("Both are the same run.")
    if a.run.suite_hash != b.run.suite_hash:
        notes.append("The suites differ: cases are paired by id, and their content may not be the same.")
    if passes.unpaired:
        notes.append(f"Left out: cases that only one run has ({passes.unpaired}).")
    if passes.excluded:
        notes.append(f"Left out of both: attempts that failed in either run ({passes.excluded}).")
    for view in (a, b):
        if (done := view.right + view.wrong + view.failed) < view.planned:
            notes.append(f"{view.title} is not complete: {done} of {view.planned} attempts.")
    if any(attempt.tries > 1 for attempt in attempts):
        notes.append("Some attempts were tried again after an infra failure; times are of the last try.")
    return notes
